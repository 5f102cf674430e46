package exporters

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/resolver"
)

// Machine is what DefaultTargets looks at to find the targets of this machine.
type Machine struct {
	Modules    []probe.Module // the built-in ones
	Listener   string         // our own: an address as 127.0.0.1:9797, or a URL
	Locked     bool           // who asks it needs a password
	Log        *slog.Logger
	ResolvConf string // empty means /etc/resolv.conf
	Routes     string // empty means /proc/net/route
}

// trialLimit is how long finding the default targets may take.
const trialLimit = time.Second

// DefaultTargets are what is watched without a configuration file: this machine
// and its file systems, its resolvers, our own listener, and what this user may
// ping.
func DefaultTargets(ctx context.Context, m Machine) []TargetConfig {
	ctx, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	targets := []TargetConfig{newDefault("machine", "machine", "localhost")}
	targets = append(targets, m.disks(ctx)...)
	targets = append(targets, m.resolvers()...)
	targets = append(targets, m.pings(ctx)...)
	targets = append(targets, m.ourselves())
	return slices.DeleteFunc(targets, func(t TargetConfig) bool {
		_, known := m.module(t.Probe)
		return !known
	})
}

func newDefault(name, module, address string) TargetConfig {
	var t TargetConfig
	t.SetDefaults()
	t.Name, t.Probe, t.Target = name, module, address
	return t
}

func (m Machine) module(name string) (probe.Module, bool) {
	i := slices.IndexFunc(m.Modules, func(p probe.Module) bool { return p.Name == name })
	if i < 0 {
		return probe.Module{}, false
	}
	return m.Modules[i], true
}

// try probes once, to see whether a target would make sense.
func (m Machine) try(ctx context.Context, module, address string) probe.Result {
	p, known := m.module(module)
	if !known {
		return probe.Fail(probe.Metrics{}, probe.Protocol, "no module "+module)
	}
	return probe.Run(ctx, p, probe.Request{Target: address, Log: m.Log})
}

// disks asks the probe of file systems which ones are real.
func (m Machine) disks(ctx context.Context) []TargetConfig {
	var points []string
	for _, f := range m.try(ctx, "filesystem", "*").Metrics.Families() {
		for _, s := range f.Samples {
			for _, l := range s.Labels {
				if l.Name == "mountpoint" && !slices.Contains(points, l.Value) {
					points = append(points, l.Value)
				}
			}
		}
	}
	if len(points) == 0 {
		points = []string{"/"}
	}
	slices.Sort(points)
	var targets []TargetConfig
	for _, p := range points {
		targets = append(targets, newDefault(diskName(p, targets), "filesystem", p))
	}
	return targets
}

// diskName makes a name of a mount point: disk-root, disk-var-lib.
func diskName(point string, others []TargetConfig) string {
	path := strings.Map(func(r rune) rune {
		if strings.ContainsRune("._", r) || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, strings.Trim(point, "/"))
	if path == "" {
		path = "root"
	}
	name := "disk-" + path[:min(len(path), 50)]
	for n, unique := 2, name; ; n++ {
		if !slices.ContainsFunc(others, func(t TargetConfig) bool { return t.Name == unique }) {
			return unique
		}
		unique = name + "-" + strconv.Itoa(n)
	}
}

func (m Machine) resolvers() []TargetConfig {
	path := m.ResolvConf
	if path == "" {
		path = "/etc/resolv.conf"
	}
	var targets []TargetConfig
	for i, server := range resolver.Servers(path) {
		name := "resolver"
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		targets = append(targets, newDefault(name, "dns_udp", server))
	}
	return targets
}

// pings is the gateway if it answers, else this machine itself; nothing if this
// user may not ping.
func (m Machine) pings(ctx context.Context) []TargetConfig {
	if r := m.try(ctx, "icmp", "127.0.0.1"); !r.Success {
		m.Log.Info("no default target is pinged", "cause", r.Cause)
		return nil
	}
	gateway, known := m.gateway()
	if !known {
		return []TargetConfig{newDefault("loopback", "icmp", "127.0.0.1")}
	}
	if r := m.try(ctx, "icmp", gateway); !r.Success {
		m.Log.Info("the default gateway is no default target, it does not answer pings", "gateway", gateway, "cause", r.Cause)
		return []TargetConfig{newDefault("loopback", "icmp", "127.0.0.1")}
	}
	return []TargetConfig{newDefault("gateway", "icmp", gateway)}
}

// gateway reads the default route out of the kernel's table (proc_net_route,
// addresses in hexadecimal, lowest byte first).
func (m Machine) gateway() (string, bool) {
	path := m.Routes
	if path == "" {
		path = "/proc/net/route"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
			continue
		}
		raw, err := hex.DecodeString(fields[2])
		if err != nil || len(raw) != 4 || binary.BigEndian.Uint32(raw) == 0 {
			continue
		}
		return netip.AddrFrom4([4]byte{raw[3], raw[2], raw[1], raw[0]}).String(), true
	}
	return "", false
}

// ourselves is our own listener. One with TLS may ask for a certificate, one
// with users asks for a password, and no default can have these: there the
// connection has to do.
func (m Machine) ourselves() TargetConfig {
	scheme, address, found := strings.Cut(strings.TrimSuffix(m.Listener, "/"), "://")
	if !found {
		scheme, address = "http", m.Listener
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
			address = net.JoinHostPort("127.0.0.1", port)
		}
	}
	t := newDefault("collie", "http_2xx", "http://"+address+"/-/healthy")
	if scheme == "https" || m.Locked {
		t = newDefault("collie", "tcp_connect", address)
	}
	t.Tier = "optional" // losing Collie never stops what it watches
	return t
}
