package beaker

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	simulated "github.com/colliehq/collie/internal/testkit/beaker"
	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/metricdoc"
)

var update = flag.Bool("update", false, "write the golden files and the table in the documentation anew")

// hang is when waiting counts as hanging.
const hang = time.Minute

// build makes a module of a kind out of its options.
func build(t testing.TB, x *Beaker, kind, options string) probe.Module {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(options), &node); err != nil {
		t.Fatal(err)
	}
	for _, k := range x.Kinds() {
		if k.Name == kind {
			var section *yaml.Node
			if len(node.Content) > 0 {
				section = node.Content[0]
			}
			f := k.Build(section, func(line int, format string, args ...any) {
				t.Fatalf("line %d: %s", line, fmt.Sprintf(format, args...))
			})
			return probe.Module{Name: kind, Kind: kind, Probe: f}
		}
	}
	t.Fatalf("no kind %s", kind)
	return probe.Module{}
}

// running is a Beaker whose task runs.
func running(t testing.TB) *Beaker {
	t.Helper()
	x := New(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = x.Run(ctx) // always nil
	}()
	t.Cleanup(func() { cancel(); <-done })
	return x
}

func freeAddress(t testing.TB) string {
	t.Helper()
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// look probes within a time.
func look(t testing.TB, m probe.Module, target string, limit time.Duration) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return probe.Run(ctx, m, probe.Request{Target: target, Dial: probe.GuardMetadata})
}

func exposition(r probe.Result) string { return string(probe.AppendText(nil, r.Metrics.Families())) }

// awaited probes again and again until the result is as wanted.
func awaited(t testing.TB, m probe.Module, target, what string, as func(probe.Result, string) bool) probe.Result {
	t.Helper()
	var r probe.Result
	for end := time.Now().Add(hang); time.Now().Before(end); {
		if r = look(t, m, target, 5*time.Second); as(r, exposition(r)) {
			return r
		}
	}
	t.Fatalf("%s did not come: %s %s\n%s", what, r.Reason, r.Cause, exposition(r))
	return r
}

func send(t testing.TB, network, address string, lines ...string) {
	t.Helper()
	if err := simulated.Send(t.Context(), network, address, lines); err != nil {
		t.Fatal(err)
	}
}

// opened waits until somebody listens.
func opened(t testing.TB, address string) {
	t.Helper()
	for end := time.Now().Add(hang); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatalf("nobody listens at %s", address)
}

// All names over UDP and TCP become series with the values sent last; what is
// malformed, unknown or of nobody is counted.
func TestCarbon(t *testing.T) {
	address := freeAddress(t)
	m := build(t, running(t), "beaker", "{listen_address: '"+address+"', expiry: 1h}")
	if r := look(t, m, "lab", time.Second); r.Reason != probe.Stale || !strings.Contains(r.Cause, "nothing came to "+address) {
		t.Fatalf("before anything came: %s %s", r.Reason, r.Cause)
	}
	now := time.Now()
	send(t, "udp", address, simulated.Pass("beaker.", 1, now)...)
	send(t, "udp", address, append(simulated.Events("beaker.", now), "beaker.gauges.dirty_jobs 9 100", "nonsense", "beaker.gauges.made_up 1 100", "other.gauges.dirty_jobs 1 100")...)
	awaited(t, m, "lab", "what came over UDP", func(_ probe.Result, text string) bool { return strings.Contains(text, "lines_unclaimed_total 1\n") })
	pass := simulated.Pass("beaker.", 1001, now.Add(time.Second))
	send(t, "tcp", address, append(pass, strings.Repeat("x", 100_000), "", "\x00\xff\x00", "beaker.counters.recipes_completed 1 100")...)
	all := len(simulated.Pass("", 1, now))*2 + len(simulated.Events("", now)) + 1
	r := awaited(t, m, "lab", "everything sent", func(_ probe.Result, text string) bool {
		return strings.Contains(text, fmt.Sprintf("probe_beaker_lines_taken_total %d\n", all)) &&
			strings.Contains(text, "probe_beaker_lines_malformed_total 3\n")
	})
	text := exposition(r)
	for _, want := range []string{
		"probe_success 1", "probe_beaker_receiving 1", "probe_beaker_lines_late_total 1", "probe_beaker_lines_unknown_total 1", "probe_beaker_lines_unclaimed_total 1",
		`probe_beaker_recipes_ended_total{status="completed"} 2`, `probe_beaker_recipes_ended_total{status="aborted"} 1`,
		`probe_beaker_recipes{status="new"} 1001`, `probe_beaker_system_commands_ended_by_lab_total{status="failed",lab="lab-01_example_org"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not there", want)
		}
	}
	for _, sent := range pass { // each value is there, and no other of a gauge sent
		if value := strings.Fields(sent)[1]; strings.Count(text, " "+value+"\n") != 1 {
			t.Errorf("%s: its value is there %d times", sent, strings.Count(text, " "+value+"\n"))
		}
	}
	golden(t, "carbon.prom", text)
}

var unsteady = regexp.MustCompile(`(?m)^(\S*_seconds\S* |probe_beaker_received_bytes )[0-9.e+-]+$`)

func golden(t *testing.T, name, text string) {
	t.Helper()
	text = unsteady.ReplaceAllString(text, "${1}T")
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s differs (-update writes the new one):\n%s", file, diff)
	}
}

func TestDocumentation(t *testing.T) {
	metricdoc.Check(t, "../../docs/exporters/beaker.md", "testdata/carbon.prom", "testdata/systems.prom")
}

// After the expiry the series are gone, and come back with the next pass.
func TestCarbonSilence(t *testing.T) {
	address := freeAddress(t)
	m := build(t, running(t), "beaker", "{listen_address: '"+address+"', expiry: 1s}")
	look(t, m, "lab", time.Second)
	for range 2 {
		send(t, "udp", address, simulated.Pass("beaker.", 1, time.Now())...)
		awaited(t, m, "lab", "a pass", func(r probe.Result, text string) bool {
			return r.Success && strings.Contains(text, "probe_beaker_recipes{")
		})
		r := awaited(t, m, "lab", "the silence", func(r probe.Result, _ string) bool { return !r.Success })
		text := exposition(r)
		if r.Reason != probe.Stale || !strings.Contains(r.Cause, "is beakerd running?") || strings.Contains(text, "probe_beaker_recipes{") ||
			!strings.Contains(text, "probe_beaker_receiving 0\n") || !strings.Contains(text, "probe_success 0\n") {
			t.Errorf("%s %s\n%s", r.Reason, r.Cause, text)
		}
	}
}

// A probe of a new listener waits for the first pass.
func TestFirstProbeWaits(t *testing.T) {
	address := freeAddress(t)
	m := build(t, running(t), "beaker", "{listen_address: '"+address+"'}")
	go func() {
		opened(t, address)
		send(t, "udp", address, "beaker.gauges.dirty_jobs 5 100")
	}()
	if r := look(t, m, "lab", hang); !r.Success {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

// Where no task runs, as in "collie probe", the probe listens itself, and stops.
func TestCarbonAlone(t *testing.T) {
	x := New(Options{})
	x.patient = time.Millisecond
	address := freeAddress(t)
	m := build(t, x, "beaker", "{listen_address: '"+address+"'}")
	go func() {
		opened(t, address)
		send(t, "tcp", address, "beaker.gauges.dirty_jobs 5 100")
	}()
	if r := look(t, m, "lab", hang); !r.Success || !strings.Contains(exposition(r), "probe_beaker_dirty_jobs 5\n") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("the probe still listens: %v", err)
	}
	_ = free.Close()
}

func TestAddressInUse(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	m := build(t, running(t), "beaker", "{listen_address: '"+address+"', expiry: 1h}")
	if r := look(t, m, "lab", 10*time.Second); r.Reason != probe.Unreachable || !strings.Contains(r.Cause, "address already in use (by") {
		t.Fatalf("%s %s", r.Reason, r.Cause)
	}
	_ = taken.Close() // and it is tried again
	awaited(t, m, "lab", "the listener", func(r probe.Result, _ string) bool { return r.Reason == probe.Stale })
}

// Two modules with prefixes of their own share one listener.
func TestTwoLabsAtOneAddress(t *testing.T) {
	address := freeAddress(t)
	x := running(t)
	one := build(t, x, "beaker", "{listen_address: '"+address+"', prefix: 'beaker.'}")
	two := build(t, x, "beaker", "{listen_address: '"+address+"', prefix: 'beaker.test.'}")
	look(t, one, "lab", 500*time.Millisecond)
	look(t, two, "test", 500*time.Millisecond)
	send(t, "udp", address, "beaker.gauges.dirty_jobs 1 100", "beaker.test.gauges.dirty_jobs 2 100")
	for m, want := range map[*probe.Module]string{&one: "probe_beaker_dirty_jobs 1\n", &two: "probe_beaker_dirty_jobs 2\n"} {
		awaited(t, *m, "lab", want, func(_ probe.Result, text string) bool { return strings.Contains(text, want) })
	}
	if n := len(x.desk.all()); n != 1 {
		t.Errorf("%d listeners", n)
	}
}

// After a reload with another address the listener moves, even on its own port;
// the old one ends when its probes would have come.
func TestListenerMoves(t *testing.T) {
	x := running(t)
	old := freeAddress(t)
	look(t, build(t, x, "beaker", "{listen_address: '"+old+"', expiry: 1s}"), "lab", time.Second)
	_, port, _ := strings.Cut(old, ":")
	wide := build(t, x, "beaker", "{listen_address: ':"+port+"', expiry: 1h}")
	awaited(t, wide, "lab", "the listener of the new address", func(r probe.Result, _ string) bool { return r.Reason == probe.Stale })
	if n := len(x.desk.all()); n != 1 {
		t.Errorf("%d listeners after a move on the same port", n)
	}
	other := freeAddress(t)
	look(t, build(t, x, "beaker", "{listen_address: '"+other+"', expiry: 1s}"), "lab", time.Second)
	if n := len(x.desk.all()); n != 2 {
		t.Fatalf("%d listeners", n)
	}
}

func TestListenersThatNobodyAsksForEnd(t *testing.T) {
	l := newListener("x", newMetrics(nil), beginning)
	for _, c := range []struct {
		gap, since time.Duration
		over       bool
	}{{0, 14 * time.Minute, false}, {0, 16 * time.Minute, true}, {30 * time.Second, time.Minute, false}, {30 * time.Second, 3 * time.Minute, true}, {time.Hour, 2 * time.Hour, false}, {time.Hour, 4 * time.Hour, true}} {
		l.gap, l.asked = c.gap, beginning
		if got := l.unasked(beginning.Add(c.since)); got != c.over {
			t.Errorf("probed every %s, silent for %s: over is %v", c.gap, c.since, got)
		}
	}
}

// More connections than the bound are turned away; the others go on.
func TestConnectionsAreBounded(t *testing.T) {
	address := freeAddress(t)
	m := build(t, running(t), "beaker", "{listen_address: '"+address+"'}")
	look(t, m, "lab", 500*time.Millisecond)
	var conns []net.Conn
	for range maxConnections + 5 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	_ = conns[maxConnections].SetReadDeadline(time.Now().Add(hang))
	if _, err := conns[maxConnections].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("one too many is served: %v", err)
	}
	fmt.Fprintln(conns[0], "beaker.gauges.dirty_jobs 5 100")
	awaited(t, m, "lab", "a line of the first", func(r probe.Result, _ string) bool { return r.Success })
}
