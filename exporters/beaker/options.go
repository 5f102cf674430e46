package beaker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
)

// reporter is told of the mistakes in a module's options.
type reporter = func(line int, format string, args ...any)

// decode puts node into what into points to and tells bad of every mistake. It
// gives the place of an option, for mistakes that are seen afterwards.
func decode(node *yaml.Node, into any, bad reporter) (mistake func(path, message string)) {
	lines := strictyaml.LinesOf(node)
	wrong := map[string]bool{}
	tell := func(line int, path, message string) {
		if path != "" {
			message = path + ": " + message
		}
		bad(line, "%s", message)
	}
	strictyaml.Decode(node, into, func(line int, path, message string) {
		wrong[path] = true
		tell(line, path, message)
	})
	return func(path, message string) {
		if !wrong[path] {
			tell(lines.Of(path), path, message)
		}
	}
}

// count is a whole number from 1 to a million.
type count int

// UnmarshalText reads a count.
func (c *count) UnmarshalText(text []byte) error {
	var v int
	if _, err := fmt.Sscanf(string(text)+" ", "%d ", &v); err != nil || v < 1 || v > 1_000_000 || fmt.Sprint(v) != string(text) {
		return errors.New("must be a whole number from 1 to 1000000")
	}
	*c = count(v)
	return nil
}

// senders are the networks from which lines are taken.
type senders struct{ list []netip.Prefix }

// DecodeYAML reads a list of addresses and networks.
func (s *senders) DecodeYAML(node *yaml.Node, bad func(line int, path, message string)) {
	var texts []string
	strictyaml.Decode(node, &texts, bad)
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, errA := netip.ParseAddr(text); err != nil && errA == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			bad(node.Line, fmt.Sprintf("[%d]", i), fmt.Sprintf("%q is neither an address nor a network; write it like 192.0.2.7 or 192.0.2.0/24", text))
			continue
		}
		s.list = append(s.list, p.Masked())
	}
}

// listenable checks an address to listen at.
func listenable(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT; write it like 127.0.0.1:2003", address)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return fmt.Errorf("%q is not an address of this machine; write it like 127.0.0.1:2003, or :2003 for all", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

// printable is text that can be quoted to people as it is.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}
