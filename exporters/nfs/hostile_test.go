package nfs_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/rpcserver"
)

// hostile are answers that break the protocol or do not end.
func hostile() map[string]func(rpcserver.Call) []byte {
	accept := func(results ...[]byte) func(rpcserver.Call) []byte {
		return func(c rpcserver.Call) []byte { return rpcserver.Accept(c, results...) }
	}
	u := rpcserver.U32
	return map[string]func(rpcserver.Call) []byte{
		"a record of 2 GiB":    func(rpcserver.Call) []byte { return append(u(1<<32-1), make([]byte, 1<<16)...) },
		"a fragment of 2 GiB":  func(rpcserver.Call) []byte { return append(u(1<<31-1), make([]byte, 1<<16)...) },
		"a thousand fragments": func(rpcserver.Call) []byte { return make([]byte, 4000) },
		"an empty record":      func(rpcserver.Call) []byte { return u(1 << 31) },
		"replies to others": func(c rpcserver.Call) []byte {
			return slices.Repeat(rpcserver.Accept(rpcserver.Call{XID: c.XID + 7}), 1000)
		},
		"calls":                     func(c rpcserver.Call) []byte { return slices.Repeat(rpcserver.Record(u(c.XID, 0, 2, 1, 1, 1)), 1000) },
		"half a reply":              func(c rpcserver.Call) []byte { return rpcserver.Record(u(c.XID, 1)) },
		"an odd status":             func(c rpcserver.Call) []byte { return rpcserver.Record(u(c.XID, 1, 17, 17)) },
		"an odd accepted status":    func(c rpcserver.Call) []byte { return rpcserver.Refuse(c, 17) },
		"a verifier of 2 GiB":       func(c rpcserver.Call) []byte { return rpcserver.Record(u(c.XID, 1, 0, 0, 1<<31, 0)) },
		"another version of RPC":    func(c rpcserver.Call) []byte { return rpcserver.Record(u(c.XID, 1, 1, 0, 3, 3)) },
		"text":                      func(rpcserver.Call) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"nothing in the results":    accept(),
		"ones":                      accept(slices.Repeat(u(1), 2000)),
		"zeros":                     accept(make([]byte, 4000)),
		"a list of 1 MiB":           accept(slices.Repeat(u(1, 0, 0), (1<<20-100)/12)),
		"a list of 2 MiB":           accept(slices.Repeat(u(1, 0, 0), (2<<20)/12)),
		"a string of 4 GiB":         accept(u(1, 1<<32-1)),
		"a handle of 4 GiB":         accept(u(0, 1<<32-1)),
		"an empty handle":           accept(u(0, 0, 0)),
		"results of no operation":   accept(u(0, 0, 1<<32-1)),
		"results of another one":    accept(u(0, 0, 1, 99, 0)),
		"a bitmap of 4 G words":     accept(u(0, 0, 2, 24, 0, 9, 0, 1<<32-1)),
		"attributes of no one":      accept(u(0, 0, 2, 24, 0, 9, 0, 2, 1<<32-1, 1<<32-1, 4, 0)),
		"attributes that are short": accept(u(0, 0, 2, 24, 0, 9, 0, 2, 7<<21, 7<<10, 4, 0)),
		"program unavailable":       func(c rpcserver.Call) []byte { return rpcserver.Refuse(c, 1) },
		"garbage arguments":         func(c rpcserver.Call) []byte { return rpcserver.Refuse(c, 4) },
	}
}

// TestHostile gives each of the answers at each of the steps, and sees the
// probe end, without a panic and without much memory.
func TestHostile(t *testing.T) {
	steps := []string{"dump", "mountnull", "mnt", "umnt", "export", "null3", "fsstat", "null4", "compound", "getattr", "exchange_id", "create_session", "sequence", "destroy_session"}
	for name, answer := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, step := range steps {
				n := simulated(t)
				n.On(step, rpcserver.Reaction{Raw: answer})
				m := at(t, n, "versions: [3, 4.0, 4.1]")
				r := lookFor(t, m, "localhost:/export", 2*time.Second)
				if strings.Contains(r.Cause, "mistake in Collie") {
					t.Errorf("at %s: %s", step, r.Cause)
				}
				if received := series(r)["probe_nfs_received_bytes"]; len(received) > len("4.194304e+06") {
					t.Errorf("at %s: %s bytes were read", step, received)
				}
			}
		})
	}
}

// TestSlowDrip: a server that sends one byte now and then holds a probe no
// longer than its limit.
func TestSlowDrip(t *testing.T) {
	port := listen(t, func(conn net.Conn) {
		for range 1000 {
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the speed of the server
		}
	})
	start := time.Now()
	r := lookFor(t, with(t, fmt.Sprintf("{ports: {nfs: %d, rpcbind: %d}, versions: [3, 4.0]}", port, port)), "localhost:/export", 500*time.Millisecond)
	if r.Success || time.Since(start) > 5*time.Second {
		t.Errorf("%s after %s", r.Cause, time.Since(start))
	}
}

// TestMemory: however large a list the server sends, little memory is taken.
func TestMemory(t *testing.T) {
	n := simulated(t)
	n.On("export", rpcserver.Reaction{Raw: func(rpcserver.Call) []byte { return append(rpcserver.U32(1<<31-1), make([]byte, 16<<20)...) }})
	m := at(t, n, "versions: 3")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		want(t, look(t, m, "localhost:/export"), probe.None, "")
	}
	runtime.ReadMemStats(&after)
	// The server's own 16 MiB are in it, 20 times.
	if used := after.TotalAlloc - before.TotalAlloc; used > 20*(40<<20) {
		t.Errorf("%d bytes were allocated", used)
	}
}

// listen serves connections until the test ends.
func listen(t testing.TB, f func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// TestUnansweredPort tells a listening port from a living server, and an
// address that is never probed.
func TestUnansweredPort(t *testing.T) {
	port := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	r := lookFor(t, with(t, fmt.Sprintf("{ports: {nfs: %d, rpcbind: 0}}", port)), "localhost", 300*time.Millisecond)
	want(t, r, probe.Timeout, "no answer in time")
	wantSeries(t, r, map[string]string{
		`probe_nfs_connected{service="nfs3"}`: "1", `probe_nfs_answered{service="nfs3"}`: "0",
		`probe_nfs_connected{service="nfs4"}`: "1", `probe_nfs_answered{service="nfs4"}`: "0", `probe_failure{reason="timeout"}`: "1",
	})
	want(t, look(t, with(t, "{}"), "169.254.169.254:/x"), probe.Unreachable, "never probed")
	want(t, look(t, with(t, "{}"), "nosuch.example:/x"), probe.DNS, "nosuch.example")
	want(t, look(t, with(t, "{ports: {rpcbind: 0}}"), "127.0.0.1:1"), probe.Refused, "connection refused")
	want(t, look(t, with(t, "{ip_protocol_fallback: false, preferred_ip_protocol: ip6}"), "127.0.0.1"), probe.DNS, "no ip6 address")
}

// TestSeriesStayFew probes 10,000 random targets, half of them on a server that
// answers with random statuses and texts: which series there are does not change.
func TestSeriesStayFew(t *testing.T) {
	n := simulated(t)
	n.Exports = []string{"/export"}
	module, there := with(t, "{ports: {rpcbind: 0}}"), at(t, n, "privileged_port: never")
	expected := map[string]bool{}
	for name := range series(look(t, module, "127.0.0.1:1")) {
		expected[name] = true
	}
	for i := range 10_000 {
		m, target := module, randomText(40)
		if i%10 == 0 {
			m, target = there, "localhost:/x"+randomText(60)
			n.On("lookup", rpcserver.Reaction{Status: rand.Uint32()})
			n.On("mnt", rpcserver.Reaction{Status: 1 + rand.Uint32N(1<<31)})
		}
		r := look(t, m, target)
		if r.Success {
			t.Fatalf("%q succeeded", target)
		}
		got := series(r)
		for _, extra := range []string{
			"probe_nfs_export_info{export=\"/export\"}", `probe_nfs_answered{service="rpcbind"}`, `probe_nfs_connected{service="rpcbind"}`, `probe_nfs_port{service="rpcbind"}`,
			`probe_nfs_rpcbind_port{program="mount",version="3"}`, `probe_nfs_rpcbind_port{program="nfs",version="3"}`, `probe_nfs_rpcbind_port{program="nfs",version="4"}`,
		} {
			delete(got, extra) // of the server that is asked with rpcbind
		}
		if len(got) != len(expected) {
			t.Fatalf("%q has %d series, others %d", target, len(got), len(expected))
		}
		for name := range got {
			if !expected[name] {
				t.Fatalf("%q brings the new series %s", target, name)
			}
		}
	}
	t.Logf("%d series", len(expected))
}

func randomText(longest int) string {
	var b strings.Builder
	for range rand.IntN(longest) {
		switch rand.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "%c", rune(rand.IntN(0x2fff)+1))
		case 1:
			b.WriteByte(byte(rand.IntN(256)))
		default:
			b.WriteByte("abcdefghij0123456789.:/-[]%@"[rand.IntN(28)])
		}
	}
	return b.String()
}
