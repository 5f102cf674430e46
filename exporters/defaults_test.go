package exporters

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
)

// fakeMachine has two disks, and pings answered as it says.
func fakeMachine(t *testing.T, answers map[string]probe.Result, routes string) (Machine, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"resolv.conf": "nameserver 192.0.2.53\nnameserver 2001:db8::53\n", "route": routes} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := &bytes.Buffer{}
	ok := func(context.Context, probe.Request) probe.Result { return probe.Result{Success: true} }
	return Machine{
		Listener: ":9797", Log: slog.New(slog.NewTextHandler(said, nil)),
		ResolvConf: filepath.Join(dir, "resolv.conf"), Routes: filepath.Join(dir, "route"),
		Modules: []probe.Module{
			{Name: "machine", Probe: ok}, {Name: "dns_udp", Probe: ok}, {Name: "http_2xx", Probe: ok}, {Name: "tcp_connect", Probe: ok},
			{Name: "filesystem", Probe: func(context.Context, probe.Request) probe.Result {
				r := probe.Result{Success: true}
				for _, p := range []string{"/var/lib", "/", "/var-lib"} {
					r.Metrics.Gauge("probe_filesystem_size_bytes", "Size.", 1, "mountpoint", p)
				}
				return r
			}},
			{Name: "icmp", Probe: func(_ context.Context, req probe.Request) probe.Result { return answers[req.Target] }},
		},
	}, said
}

const routeTable = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
`

func TestDefaultTargets(t *testing.T) {
	good, bad := probe.Result{Success: true}, probe.Fail(probe.Metrics{}, probe.Timeout, "no answer")
	base := []string{
		"machine machine localhost", "disk-root filesystem /", "disk-var-lib filesystem /var-lib", "disk-var-lib-2 filesystem /var/lib",
		"resolver dns_udp 192.0.2.53", "resolver-2 dns_udp 2001:db8::53",
	}
	collie := "collie http_2xx http://127.0.0.1:9797/-/healthy"
	tests := map[string]struct {
		answers map[string]probe.Result
		routes  string
		want    []string
		said    string
	}{
		"gateway answers":     {map[string]probe.Result{"127.0.0.1": good, "192.0.2.1": good}, routeTable, []string{"gateway icmp 192.0.2.1", collie}, ""},
		"gateway is silent":   {map[string]probe.Result{"127.0.0.1": good, "192.0.2.1": bad}, routeTable, []string{"loopback icmp 127.0.0.1", collie}, "gateway=192.0.2.1"},
		"no gateway":          {map[string]probe.Result{"127.0.0.1": good}, "", []string{"loopback icmp 127.0.0.1", collie}, ""},
		"pings are forbidden": {map[string]probe.Result{"127.0.0.1": probe.Fail(probe.Metrics{}, probe.Auth, "this user may not ping")}, routeTable, []string{collie}, "may not ping"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, said := fakeMachine(t, tt.answers, tt.routes)
			targets := DefaultTargets(t.Context(), m)
			var got []string
			for _, c := range targets {
				got = append(got, c.Name+" "+c.Probe+" "+c.Target)
			}
			if diff := cmp.Diff(append(base, tt.want...), got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if !strings.Contains(said.String(), tt.said) {
				t.Errorf("said %q, want %q", said, tt.said)
			}
			c := DefaultConfig()
			c.Targets = targets
			c.Validate(func(path, format string, args ...any) { t.Errorf("%s: "+format, append([]any{path}, args...)...) })
		})
	}
}

func TestOwnListener(t *testing.T) {
	for listener, want := range map[string]string{
		":9797": "http_2xx http://127.0.0.1:9797/-/healthy", "0.0.0.0:1": "http_2xx http://127.0.0.1:1/-/healthy",
		"[::]:1": "http_2xx http://127.0.0.1:1/-/healthy", "http://127.0.0.1:9797/": "http_2xx http://127.0.0.1:9797/-/healthy",
		"https://collie.example:1/": "tcp_connect collie.example:1", "192.0.2.1:1": "http_2xx http://192.0.2.1:1/-/healthy",
	} {
		if c := (Machine{Listener: listener}).ourselves(); c.Probe+" "+c.Target != want {
			t.Errorf("%s: %s %s, want %s", listener, c.Probe, c.Target, want)
		}
	}
	if c := (Machine{Listener: "http://127.0.0.1:9797/", Locked: true}).ourselves(); c.Probe != "tcp_connect" || c.Target != "127.0.0.1:9797" {
		t.Errorf("a listener that asks for a password: %s %s", c.Probe, c.Target)
	}
}

// On the machine that runs the test the built-in modules find what they can.
func TestDefaultTargetsOfThisMachine(t *testing.T) {
	set := NewSet(SetOptions{})
	defer set.Close()
	kinds := set.Kinds()
	modules := module.Defaults(kinds)
	c := DefaultConfig()
	c.Targets = DefaultTargets(t.Context(), Machine{Modules: modules, Listener: "127.0.0.1:9797", Log: slog.New(slog.DiscardHandler)})
	bad := func(path, format string, args ...any) { t.Errorf("%s: "+format, append([]any{path}, args...)...) }
	c.Validate(bad)
	c.ValidateModules(modules, kinds, func(_ int, path, format string, args ...any) { bad(path, format, args...) })
	var names []string
	for _, target := range c.Targets {
		names = append(names, target.Name)
	}
	for _, want := range []string{"machine", "disk-root", "collie"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("targets %v lack %s", names, want)
		}
	}
}
