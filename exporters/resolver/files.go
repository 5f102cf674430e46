package resolver

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	recheck     = 5 * time.Second // how often the files are looked at for changes
	maxFile     = 16 << 20        // bytes of hosts that are read
	maxServers  = 3               // MAXNS of resolv.conf(5)
	maxAttempts = 5               // RES_MAXRETRY
)

// conf is what resolv.conf says.
type conf struct {
	servers  []string // host:port
	search   []string // with the dot at the end
	ndots    int
	timeout  time.Duration
	attempts int
	rotate   bool
	tcp      bool
}

// files are resolv.conf and hosts, read again when they change.
type files struct {
	resolvConf, hosts string

	mu      sync.Mutex
	checked time.Time
	stamps  [2]stamp
	current conf
	usable  bool
	known   map[string][]netip.Addr
}

type stamp struct {
	changed time.Time
	size    int64
}

// conf returns what resolv.conf says, and whether it names a server.
func (f *files) conf(now time.Time) (conf, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh(now)
	return f.current, f.usable
}

// lookup returns the addresses that hosts has for the name. localhost is known
// without it (RFC 6761, section 6.3).
func (f *files) lookup(host string, now time.Time) []netip.Addr {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh(now)
	if addrs := f.known[host]; len(addrs) > 0 {
		return addrs
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

func (f *files) refresh(now time.Time) {
	if !f.checked.IsZero() && now.Sub(f.checked) < recheck {
		return
	}
	first := f.checked.IsZero()
	f.checked = now
	if text, changed := f.read(0, f.resolvConf); changed || first {
		f.current = parseConf(text)
		f.usable = len(f.current.servers) > 0
	}
	if text, changed := f.read(1, f.hosts); changed || first {
		f.known = parseHosts(text)
	}
}

// read returns the text of a file that changed since it was last read. A file
// that is not there is empty.
func (f *files) read(i int, path string) (text string, changed bool) {
	info, err := os.Stat(path)
	var now stamp
	if err == nil {
		now = stamp{info.ModTime(), info.Size()}
	}
	if now == f.stamps[i] {
		return "", false
	}
	f.stamps[i] = now
	file, err := os.Open(path)
	if err != nil {
		return "", true
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return "", true
	}
	return string(raw), true
}

// parseConf reads resolv.conf(5). What it does not know it leaves out, as the
// C library does.
func parseConf(text string) conf {
	c := conf{ndots: 1, timeout: 5 * time.Second, attempts: 2}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.ContainsAny(fields[0][:1], "#;") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if _, err := netip.ParseAddr(fields[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, net.JoinHostPort(fields[1], "53"))
			}
		case "domain":
			c.search = rooted(fields[1:2])
		case "search":
			c.search = rooted(fields[1:])
		case "options":
			for _, o := range fields[1:] {
				c.option(o)
			}
		}
	}
	return c
}

func (c *conf) option(text string) {
	name, value, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "rotate":
		c.rotate = true
	case name == "use-vc" || name == "usevc" || name == "tcp":
		c.tcp = true
	case err != nil:
	case name == "ndots":
		c.ndots = min(max(n, 0), 15)
	case name == "timeout":
		c.timeout = time.Duration(min(max(n, 1), 30)) * time.Second
	case name == "attempts":
		c.attempts = min(max(n, 1), maxAttempts)
	}
}

func rooted(names []string) []string {
	var out []string
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSuffix(n, ".")); n != "" {
			out = append(out, n+".")
		}
	}
	return out
}

// names lists the full names that host may stand for, in the order in which
// they are tried: a name with enough dots as it is first, others last.
func (c conf) names(host string) []string {
	host = strings.ToLower(host)
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	asIs := host + "."
	var names []string
	enough := strings.Count(host, ".") >= c.ndots
	if enough {
		names = append(names, asIs)
	}
	for _, suffix := range c.search {
		if len(asIs)+len(suffix) <= 254 {
			names = append(names, asIs+suffix)
		}
	}
	if !enough {
		names = append(names, asIs)
	}
	return names
}

// parseHosts reads hosts(5).
func parseHosts(text string) map[string][]netip.Addr {
	known := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			known[name] = append(known[name], addr)
		}
	}
	return known
}

// isName reports whether host can be asked for in the DNS (RFC 1035, section
// 2.3.4). Underscores are in use.
func isName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 || strings.HasSuffix(strings.ToLower(host), ".onion") { // RFC 7686
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}

// Servers are the addresses of the name servers in a resolv.conf, without
// port; none if it cannot be read.
func Servers(path string) []string {
	f := files{resolvConf: path}
	text, _ := f.read(0, path)
	var out []string
	for _, s := range parseConf(text).servers {
		if host, _, err := net.SplitHostPort(s); err == nil {
			out = append(out, host)
		}
	}
	return out
}
