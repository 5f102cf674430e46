package exporters

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/colliehq/collie/exporters/clock"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/signal"
)

// disk is a record in memory that can be full. What it took survives the
// exporters that use it.
type disk struct {
	mu       sync.Mutex
	full     bool
	unsure   bool // takes what it is given, and says that it does not know
	rows     map[string]row
	lease    *signal.Lease
	keys     map[string]bool
	messages []queue.Message
}

func newDisk() *disk { return &disk{rows: map[string]row{}, keys: map[string]bool{}} }

func (d *disk) load(context.Context) (memory, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := memory{rows: maps.Clone(d.rows)}
	if d.lease != nil {
		m.session, m.watermark = d.lease.Session, d.lease.Watermark
	}
	return m, nil
}

func (d *disk) save(_ context.Context, b batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return fmt.Errorf("no space: %w", queue.ErrFull)
	}
	for _, r := range b.rows {
		d.rows[r.name] = r
	}
	if b.lease != nil {
		l := *b.lease
		d.lease = &l
	}
	for _, m := range b.messages {
		if !d.keys[m.Topic+m.Key] { // the same key is the same message
			d.keys[m.Topic+m.Key] = true
			d.messages = append(d.messages, m)
		}
	}
	if d.unsure {
		return queue.ErrUnknown
	}
	return nil
}

// row is what is stored of a target.
func (d *disk) row(name string) (r row) {
	d.set(func() { r = d.rows[name] })
	return r
}

// count is how many messages are on the queue.
func (d *disk) count() (n int) {
	d.set(func() { n = len(d.messages) })
	return n
}

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// told is a signal about a target as it reached the queue.
type told struct {
	signal.Signal
	body signal.Target
}

func (d *disk) signals(t *testing.T) []told {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []told
	for _, m := range d.messages {
		if m.Topic != signal.TopicSignals {
			continue
		}
		var s signal.Signal
		if err := json.Unmarshal(m.Body, &s); err != nil {
			t.Fatalf("signal %s: %v", m.Key, err)
		}
		body, err := s.Target()
		if err != nil {
			t.Fatalf("signal %s: %v", m.Key, err)
		}
		if m.Key != s.ID {
			t.Errorf("key %s of signal %s", m.Key, s.ID)
		}
		out = append(out, told{s, body})
	}
	return out
}

func (d *disk) leases(t *testing.T) []signal.Lease {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []signal.Lease
	for _, m := range d.messages {
		if m.Topic != signal.TopicLeases {
			continue
		}
		var l signal.Lease
		if err := json.Unmarshal(m.Body, &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// story is the path of a target through its states, as "unknown up suspect":
// transitions only, snapshots in brackets, "removed" for its end.
func (d *disk) story(t *testing.T, name string) string {
	t.Helper()
	var words []string
	for _, s := range d.signals(t) {
		switch {
		case s.body.Name != name:
		case s.body.Removed:
			words = append(words, "removed")
		case s.body.Snapshot:
			words = append(words, "["+string(s.body.State)+"]")
		default:
			words = append(words, string(s.body.State))
		}
	}
	return strings.Join(words, " ")
}

// world is a machine, inside a synctest bubble, with targets that can be broken
// and clocks that can be stepped.
type world struct {
	t    *testing.T
	disk *disk

	mu      sync.Mutex
	results map[string]probe.Result // by address
	takes   time.Duration           // of each probe
	wall    time.Duration           // by which the wall clock was stepped
	mono    time.Duration           // for which all stood still
	extra   []probe.Module

	*Exporter
	registry *prometheus.Registry
	stop     func()
}

func newWorld(t *testing.T) *world {
	return &world{t: t, disk: newDisk(), results: map[string]probe.Result{}, stop: func() {}}
}

func (w *world) source() *clock.Source {
	began := time.Now().Add(-w.mono)
	return &clock.Source{
		Wall: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Now().Add(w.wall)
		},
		Mono: func() time.Duration {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Since(began) + w.mono
		},
	}
}

// step moves the wall clock.
func (w *world) step(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wall += d
}

// freeze lets time pass in which our process does not run.
func (w *world) freeze(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wall += d
	w.mono += d
}

func (w *world) set(address string, r probe.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results[address] = r
}

// breaks lets the probes of an address fail, heals lets them succeed again.
func (w *world) breaks(address string) {
	r := probe.Fail(probe.Metrics{}, probe.Refused, "connection refused")
	r.Evidence = "> SYN\n< RST\n"
	w.set(address, r)
}

func (w *world) heals(address string) { w.set(address, probe.Result{Success: true}) }

// module is the probe "fake": it answers what the world says; by itself it
// succeeds.
func (w *world) modules() []probe.Module {
	return append(w.extra, probe.Module{Name: "fake", Kind: "tcp", Probe: func(ctx context.Context, req probe.Request) probe.Result {
		w.mu.Lock()
		r, known := w.results[req.Target]
		takes := w.takes
		w.mu.Unlock()
		if takes > 0 {
			select {
			case <-time.After(takes):
			case <-ctx.Done():
				return probe.Fail(probe.Metrics{}, probe.Timeout, "no answer in time")
			}
		}
		if !known {
			r.Success = true
		}
		r.Metrics.Gauge("probe_fake_value", "A value.", 42, "part", "a")
		return r
	}})
}

// targetOf is a probed target whose address is its name.
func targetOf(name string, change ...func(*TargetConfig)) TargetConfig {
	var c TargetConfig
	c.SetDefaults()
	c.Name, c.Probe, c.Target, c.Every = name, "fake", name+":80", 10*time.Second
	for _, f := range change {
		f(&c)
	}
	return c
}

func heartbeatOf(name string, every, grace time.Duration) TargetConfig {
	var c TargetConfig
	c.SetDefaults()
	c.Name, c.Heartbeat = name, &HeartbeatConfig{Every: every, Grace: grace}
	return c
}

func configOf(targets ...TargetConfig) Config {
	c := DefaultConfig()
	c.Targets = targets
	return c
}

// up starts an exporter on the world's disk and waits until it is ready.
func (w *world) up(c Config) {
	w.t.Helper()
	w.registry = prometheus.NewRegistry()
	e, err := New(w.t.Context(), Options{
		Config: c, Modules: w.modules(), Registry: w.registry, Log: slog.New(slog.DiscardHandler),
		Source: "exporter/test", Resolver: noResolver{}, clock: w.source(), record: w.disk,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Exporter = e
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		w.stop = func() {}
	}
	select {
	case <-e.Ready():
	case err := <-ended:
		w.t.Fatalf("Run ended: %v", err)
	}
}

// kill ends the exporter as kill -9 does: nothing is stored any more.
func (w *world) kill() {
	before := w.disk
	w.disk.set(func() { w.disk.full = true })
	w.stop()
	w.disk = &disk{rows: before.rows, lease: before.lease, keys: before.keys, messages: before.messages}
}

// after waits, and until everything that can be done is done.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) metrics() string {
	var x probe.Exposition
	w.Expose(&x)
	return string(x.Append(nil, expfmt.NewFormat(expfmt.TypeTextPlain)))
}

// shown is the state that /targets/metrics shows.
func (w *world) shown(name string) signal.State {
	for _, s := range signal.States() {
		if strings.Contains(w.metrics(), fmt.Sprintf("collie_target_state{state=%q,target=%q} 1\n", s, name)) {
			return s
		}
	}
	return ""
}

// own is the value of one of the exporter's own metrics.
func (w *world) own(series string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "," + l.GetValue()
			}
			if name == series {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	w.t.Fatalf("no metric %s", series)
	return 0
}

// noResolver resolves nothing: the fake probe needs no names.
type noResolver struct{ probe.Resolver }

func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(w)
		w.stop()
	})
}

func windowOf(text string) func(*TargetConfig) {
	return func(c *TargetConfig) {
		if err := c.DownAfter.UnmarshalText([]byte(text)); err != nil {
			panic(err)
		}
	}
}

func leaseOf(t *testing.T, m queue.Message) (l signal.Lease) {
	t.Helper()
	if err := json.Unmarshal(m.Body, &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func signalOf(t *testing.T, m queue.Message) (s signal.Signal) {
	t.Helper()
	if err := json.Unmarshal(m.Body, &s); err != nil {
		t.Fatal(err)
	}
	return s
}
