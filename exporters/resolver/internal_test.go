package resolver

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

func TestCacheObeysTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache{entries: map[question]entry{}}
		q := question{"a.example.", dnsmessage.TypeA}
		c.put(q, entry{expires: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute - 1)
		if _, ok := c.get(q, time.Now()); !ok {
			t.Error("gone before its time")
		}
		time.Sleep(time.Nanosecond)
		if _, ok := c.get(q, time.Now()); ok || len(c.entries) != 0 {
			t.Error("kept beyond its time")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := cache{entries: map[question]entry{}}
	for i := range maxEntries * 2 {
		c.put(question{fmt.Sprint(i), dnsmessage.TypeA}, entry{expires: time.Now().Add(time.Hour)})
	}
	if len(c.entries) != maxEntries {
		t.Errorf("%d entries, want %d", len(c.entries), maxEntries)
	}
}

func TestParseConf(t *testing.T) {
	text := "# comment\n; another\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver name.example\n" +
		"nameserver 192.0.2.3\nnameserver 192.0.2.4\ndomain old.example\nsearch Corp.Example. lab.example .\n" +
		"options ndots:2 timeout:3 attempts:9 rotate use-vc unknown ndots:x\noptions\n"
	want := conf{
		servers: []string{"192.0.2.1:53", "[fe80::1%eth0]:53", "192.0.2.3:53"}, search: []string{"corp.example.", "lab.example."},
		ndots: 2, timeout: 3 * time.Second, attempts: 5, rotate: true, tcp: true,
	}
	if diff := cmp.Diff(want, parseConf(text), cmp.AllowUnexported(conf{})); diff != "" {
		t.Errorf("conf (-want +got):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	c := conf{search: []string{"x.", "y.z."}, ndots: 2}
	for host, want := range map[string][]string{
		"a": {"a.x.", "a.y.z.", "a."}, "a.b": {"a.b.x.", "a.b.y.z.", "a.b."},
		"a.b.c": {"a.b.c.", "a.b.c.x.", "a.b.c.y.z."}, "A.": {"a."},
	} {
		if diff := cmp.Diff(want, c.names(host)); diff != "" {
			t.Errorf("names of %s (-want +got):\n%s", host, diff)
		}
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	f := files{resolvConf: filepath.Join(t.TempDir(), "none"), hosts: path}
	now := time.Now()
	if got := f.lookup("a", now); got != nil {
		t.Fatalf("no file, but %v", got)
	}
	if err := os.WriteFile(path, []byte("192.0.2.1 a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := f.lookup("a", now.Add(recheck-1)); got != nil {
		t.Errorf("read again too early: %v", got)
	}
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if diff := cmp.Diff(want, f.lookup("a", now.Add(recheck)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("after the change (-want +got):\n%s", diff)
	}
}

func TestNegativeTTL(t *testing.T) {
	for name, tt := range map[string]struct {
		authority string
		want      time.Duration
	}{
		"minimum is lower": {"example. 3600 IN SOA ns. root. 1 2 3 4 60", time.Minute},
		"TTL is lower":     {"example. 30 IN SOA ns. root. 1 2 3 4 60", 30 * time.Second},
		"bounded":          {"example. 99999 IN SOA ns. root. 1 2 3 4 99999", maxNegative},
		"none":             {"", failureTTL},
		"only NS":          {"example. 99999 IN NS ns.", failureTTL},
	} {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
		m.Response, m.Rcode = true, dns.RcodeNameError
		if tt.authority != "" {
			rr, err := dns.NewRR(tt.authority)
			if err != nil {
				t.Fatal(err)
			}
			m.Ns = []dns.RR{rr}
		}
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		got, err := question{"a.example.", dnsmessage.TypeA}.parse(raw, m.Id)
		if err != nil || got.ttl != tt.want {
			t.Errorf("%s: kept for %s, want %s; %v", name, got.ttl, tt.want, err)
		}
	}
}

func TestTTL(t *testing.T) {
	for seconds, want := range map[uint32]time.Duration{0: 0, 60: time.Minute, 1 << 30: maxTTL, 1 << 31: 0, 1<<32 - 1: 0} {
		if got := ttl(seconds); got != want {
			t.Errorf("ttl(%d) = %s, want %s", seconds, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	q := question{"a.example.", dnsmessage.TypeA}
	for _, texts := range [][]string{{"a.example. 60 IN A 192.0.2.1"}, {"a.example. 60 IN CNAME b.example.", "b.example. 1 IN A 192.0.2.1"}, nil} {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
		m.Id, m.Response = 7, true
		for _, text := range texts {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)-3])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := q.parse(raw, 7)
		if err != nil {
			return
		}
		if a.ttl < 0 || a.ttl > maxTTL {
			t.Errorf("kept for %s", a.ttl)
		}
		for _, addr := range a.addrs {
			if !addr.Is4() {
				t.Errorf("an A record became %s", addr)
			}
		}
	})
}
