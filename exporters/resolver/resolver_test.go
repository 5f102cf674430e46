package resolver_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/resolver"
)

var _ probe.Resolver = (*resolver.Resolver)(nil)

// fallback stands for the resolver of the Go library.
type fallback struct{ asked []string }

func (f *fallback) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	f.asked = append(f.asked, host)
	return []netip.Addr{netip.MustParseAddr("192.0.2.99")}, nil
}

func newResolver(t *testing.T, conf, hosts string, servers ...string) (*resolver.Resolver, *fallback) {
	t.Helper()
	dir := t.TempDir()
	o := resolver.Options{
		Registry: prometheus.NewRegistry(), Servers: servers,
		ResolvConf: write(t, dir, "resolv.conf", conf), Hosts: write(t, dir, "hosts", hosts),
	}
	f := &fallback{}
	o.Fallback = f
	r := resolver.New(o)
	t.Cleanup(r.Close)
	return r, f
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if text == "" {
		return path // not there
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lookup returns the addresses as text, or what is wrong in a word.
func lookup(r *resolver.Resolver, network, host string) string {
	addrs, err := r.LookupNetIP(context.Background(), network, host)
	var dns *net.DNSError
	switch {
	case err == nil:
		var out []string
		for _, a := range addrs {
			out = append(out, a.String())
		}
		return strings.Join(out, " ")
	case !errors.As(err, &dns):
		return "not a DNSError: " + err.Error()
	case dns.IsNotFound:
		return "not found"
	case dns.IsTimeout:
		return "timeout"
	default:
		return dns.Err
	}
}

func TestLookup(t *testing.T) {
	s := newServer(t)
	s.set("a.example. A", "a.example. 60 IN A 192.0.2.1", "a.example. 60 IN A 192.0.2.2")
	s.set("a.example. AAAA", "a.example. 60 IN AAAA 2001:db8::1")
	s.set("alias.example. A", "alias.example. 60 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1")
	s.set("short.corp.example. A", "short.corp.example. 60 IN A 192.0.2.3")
	s.set("big.example. A", "big.example. 60 IN A 192.0.2.4")
	s.set("lie.example. A", "lie.example. 60 IN A 192.0.2.5")
	s.change(func() {
		s.cut["big.example."], s.lie["lie.example."] = true, true
		s.rcode["no.example."] = dns.RcodeNameError
		s.rcode["short."] = dns.RcodeNameError
		s.rcode["sick.example."] = dns.RcodeServerFailure
		s.rcode["refused.example."] = dns.RcodeRefused
	})
	r, fb := newResolver(t, "search corp.example lab.example\noptions timeout:1 attempts:1\n",
		"192.0.2.7 Fixed.example fixed # comment\n2001:db8::7 fixed.example\n", s.addr)

	tests := []struct{ network, host, want string }{
		{"ip", "a.example", "192.0.2.1 192.0.2.2 2001:db8::1"},
		{"ip4", "A.Example.", "192.0.2.1 192.0.2.2"},
		{"ip6", "a.example", "2001:db8::1"},
		{"ip4", "alias.example", "192.0.2.1"},
		{"ip6", "alias.example", "not found"},
		{"ip", "short", "192.0.2.3"},
		{"ip4", "short.", "not found"},
		{"ip4", "big.example", "192.0.2.4"},
		{"ip4", "lie.example", "192.0.2.5"},
		{"ip", "no.example", "not found"},
		{"ip", "sick.example", "server answered SERVFAIL"},
		{"ip", "refused.example", "server answered REFUSED"},
		{"ip", "fixed.example", "192.0.2.7 2001:db8::7"},
		{"ip6", "FIXED", "not found"},
		{"ip", "localhost", "127.0.0.1 ::1"},
		{"ip6", "localhost", "::1"},
		{"ip", "192.0.2.8", "192.0.2.8"},
		{"ip4", "2001:db8::8", "not found"},
		{"ip", "::ffff:192.0.2.8", "192.0.2.8"},
		{"ip", "", "not found"},
		{"ip", "two..dots", "not found"},
		{"ip", "sp ace.example", "not found"},
		{"ip", strings.Repeat("a", 64) + ".example", "not found"},
		{"ip", strings.Repeat("a.", 127) + "example", "not found"},
		{"ip", "printer.local", "192.0.2.99"},
	}
	for _, tt := range tests {
		if got := lookup(r, tt.network, tt.host); got != tt.want {
			t.Errorf("%s %q: %s, want %s", tt.network, tt.host, got, tt.want)
		}
	}
	if diff := cmp.Diff([]string{"printer.local"}, fb.asked); diff != "" {
		t.Errorf("names given to the Go library (-want +got):\n%s", diff)
	}
	if s.count("big.example. A tcp") != 1 {
		t.Error("a truncated answer was not asked for over TCP")
	}
}

func TestOldServerWithoutEDNS(t *testing.T) {
	s := newServer(t)
	s.change(func() { s.old = true })
	s.set("a.example. A", "a.example. 60 IN A 192.0.2.1")
	r, _ := newResolver(t, "options attempts:1", "", s.addr)
	if got := lookup(r, "ip4", "a.example"); got != "192.0.2.1" {
		t.Error(got)
	}
}

// No TTL is waited for here: what expires when is the cache's own test.
func TestAnswersAreKept(t *testing.T) {
	s := newServer(t)
	s.set("kept.example. A", "kept.example. 3600 IN A 192.0.2.1")
	s.set("zero.example. A", "zero.example. 0 IN A 192.0.2.1")
	s.set("alias.example. A", "alias.example. 0 IN CNAME kept.example.", "kept.example. 3600 IN A 192.0.2.1")
	s.change(func() {
		s.auth["none.example. A"] = []string{"example. 3600 IN SOA ns.example. root.example. 1 2 3 4 60"}
		s.auth["zeronone.example. A"] = []string{"example. 3600 IN SOA ns.example. root.example. 1 2 3 4 0"}
	})
	r, _ := newResolver(t, "options attempts:1", "", s.addr)
	for range 3 {
		for _, name := range []string{"kept.example", "zero.example", "alias.example", "none.example", "zeronone.example"} {
			lookup(r, "ip4", name)
		}
	}
	for name, want := range map[string]int{"kept": 1, "zero": 3, "alias": 3, "none": 1, "zeronone": 3} {
		if got := s.count(name + ".example. A udp"); got != want {
			t.Errorf("%s was asked for %d times, want %d", name, got, want)
		}
	}
}

func TestManyAskOnce(t *testing.T) {
	s := newServer(t)
	s.set("a.example. A", "a.example. 60 IN A 192.0.2.1")
	s.change(func() { s.hold = make(chan struct{}) })
	r, _ := newResolver(t, "options attempts:1", "", s.addr)
	var wg sync.WaitGroup
	// One whose time runs out must not take the answer from the others.
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := r.LookupNetIP(ctx, "ip4", "a.example"); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled lookup: %v", err)
		}
	})
	for s.total() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 50 {
		wg.Go(func() {
			if got := lookup(r, "ip4", "a.example"); got != "192.0.2.1" {
				t.Error(got)
			}
		})
	}
	cancel()
	close(s.hold)
	wg.Wait()
	if n := s.total(); n != 1 {
		t.Errorf("50 at once made %d questions", n)
	}
}

func TestNextServerAndTimeout(t *testing.T) {
	dead, sick, good := newServer(t), newServer(t), newServer(t)
	dead.change(func() { dead.drop["a.example."] = true })
	sick.change(func() { sick.rcode["a.example."] = dns.RcodeServerFailure })
	good.set("a.example. A", "a.example. 60 IN A 192.0.2.1")
	r, _ := newResolver(t, "options timeout:1 attempts:1", "", dead.addr, sick.addr, good.addr)
	if got := lookup(r, "ip4", "a.example"); got != "192.0.2.1" {
		t.Error(got)
	}
	r, _ = newResolver(t, "options timeout:1 attempts:1", "", dead.addr)
	if got := lookup(r, "ip4", "a.example"); got != "timeout" {
		t.Error(got)
	}
}

func TestCallersDeadline(t *testing.T) {
	dead := newServer(t)
	dead.change(func() { dead.drop["a.example."] = true })
	r, _ := newResolver(t, "options timeout:30 attempts:1", "", dead.addr)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := r.LookupNetIP(ctx, "ip4", "a.example")
	var dnsErr *net.DNSError
	if !errors.As(err, &dnsErr) || !dnsErr.IsTimeout || !errors.Is(err, context.DeadlineExceeded) || dnsErr.Name != "a.example" {
		t.Errorf("got %#v", err)
	}
}

func TestWithoutResolvConf(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "no server": "search example\n", "nonsense": "\x00\xff nameserver\nnameserver not-an-address\n"} {
		r, fb := newResolver(t, text, "")
		if got := lookup(r, "ip", "a.example"); got != "192.0.2.99" || len(fb.asked) != 1 {
			t.Errorf("%s: %s, the Go library was asked for %v", name, got, fb.asked)
		}
	}
}

func TestMetricsLint(t *testing.T) {
	registry := prometheus.NewRegistry()
	resolver.New(resolver.Options{Registry: registry}).Close()
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
