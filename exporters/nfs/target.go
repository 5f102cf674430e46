package nfs

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// target is what a probe looks at: a server, and a path on it if one was given.
type target struct {
	host string
	port uint16 // 0: none was given
	path string // "" or absolute
}

var errTarget = errors.New("a target is written SERVER, SERVER:PORT, SERVER:/PATH or SERVER:PORT:/PATH, an IPv6 address in brackets")

// parseTarget reads a target as NFS users write it.
func parseTarget(text string) (target, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return target{host: addr.String()}, nil
	}
	host, rest, err := cutHost(text)
	if err != nil {
		return target{}, err
	}
	t := target{host: host}
	if rest == "" {
		return t, nil
	}
	port, path, found := strings.Cut(rest, ":")
	switch {
	case rest[0] == '/':
		port, path, found = "", rest, true
	case found && path == "":
		return target{}, errTarget
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return target{}, fmt.Errorf("%q is not a port; %w", port, errTarget)
		}
		t.port = uint16(n)
	}
	if !found {
		return t, nil
	}
	t.path = path
	_, err = splitPath(path)
	return t, err
}

// cutHost cuts the server off; rest is what follows the colon behind it.
func cutHost(text string) (host, rest string, err error) {
	if inside, ok := strings.CutPrefix(text, "["); ok {
		host, rest, ok = strings.Cut(inside, "]")
		if _, err := netip.ParseAddr(host); err != nil || !ok {
			return "", "", fmt.Errorf("no IP address in brackets; %w", errTarget)
		}
		if rest == "" {
			return host, "", nil
		}
		rest, ok = strings.CutPrefix(rest, ":")
		if !ok || rest == "" {
			return "", "", errTarget
		}
		return host, rest, nil
	}
	host, rest, found := strings.Cut(text, ":")
	if host == "" || strings.ContainsAny(host, "/ \t\r\n\x00") || found && rest == "" {
		return "", "", errTarget
	}
	return host, rest, nil
}

const (
	maxPath  = 1024 // MNTPATHLEN of RFC 1813, section 5.1.1
	maxName  = 255  // MNTNAMLEN, and what servers allow for one name
	maxNames = 64   // LOOKUPs in one COMPOUND
)

// splitPath gives the names in an absolute path.
func splitPath(path string) ([]string, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return nil, fmt.Errorf("the path %q does not begin with /", path)
	case len(path) > maxPath:
		return nil, fmt.Errorf("the path is longer than %d bytes", maxPath)
	case strings.ContainsRune(path, 0):
		return nil, errors.New("the path holds a zero byte")
	}
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			return nil, fmt.Errorf("the path %q goes up with ..; write where it leads to", path)
		case len(name) > maxName:
			return nil, fmt.Errorf("a name in the path is longer than %d bytes", maxName)
		}
		names = append(names, name)
	}
	if len(names) > maxNames {
		return nil, fmt.Errorf("the path has more than %d names", maxNames)
	}
	return names, nil
}
