package alerting

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// testRoutes tells quickly.
const testRoutes = `
route:
  receiver: people
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 300ms
  repeat_interval: 1h
receivers:
  - name: people
    webhook_configs: [{url: "http://127.0.0.1/hook/alertmanager"}]
`

const testRules = `
groups:
  - name: test
    rules:
      - alert: Down
        expr: collie_target_state{state="down"} == 1
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.target }} is down"}
      - alert: Slow
        expr: collie_target_state{state="suspect"} == 1
        for: 3s
        labels: {severity: warning}
`

// ours are the alerts of these tests; shipped rules may tell theirs beside.
var ours = map[string]bool{"Down": true, "Slow": true, "Posted": true}

// states are the verdicts that /targets/metrics shows.
type states struct {
	mu   sync.Mutex
	of   map[string]string
	fail bool
}

func (s *states) set(target, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]string{}
	}
	s.of[target] = state
}

func (s *states) failing(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = is
}

func (s *states) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "# TYPE collie_target_state gauge")
	for target, is := range s.of {
		for _, state := range []string{"up", "suspect", "down", "unknown"} {
			value := 0
			if state == is {
				value = 1
			}
			fmt.Fprintf(w, "collie_target_state{target=%q,state=%q} %d\n", target, state, value)
		}
	}
}

// rig is alerting with what it needs, on a directory that can be used again.
type rig struct {
	t        testing.TB
	dir      string
	cfg      Config
	states   *states
	store    *store.Store
	queue    *sqlite.Queue
	registry *prometheus.Registry
	alerting *Alerting
	url      string
	seen     chan signal.Signal
	tell     func(signal.Signal) // called before the delivery is acknowledged
	stop     func()
	now      func() time.Time
	network  bool // scrape over the listener
	// listening is called when requests are answered, before Run.
	listening func()
}

func testConfig(t testing.TB, dir string) Config {
	c := DefaultConfig()
	c.ScrapeInterval, c.EvaluationInterval = 200*time.Millisecond, 200*time.Millisecond
	c.ConfigFile, c.RuleFiles = filepath.Join(dir, "alertmanager.yml"), []string{filepath.Join(dir, "rules.yml")}
	write(t, c.ConfigFile, testRoutes)
	write(t, c.RuleFiles[0], testRules)
	return c
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newRig starts alerting in dir. The directory of a rig that was stopped may be
// used again.
func newRig(t testing.TB, dir string, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, cfg: testConfig(t, dir), states: &states{}, registry: prometheus.NewRegistry(), seen: make(chan signal.Signal, 10_000)}
	r.tell = func(s signal.Signal) { r.seen <- s }
	if change != nil {
		change(&r.cfg)
	}
	return r
}

func (r *rig) start() *rig {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(testWriter{r.t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var err error
	if r.store, err = store.Open(ctx, store.Options{Dir: filepath.Join(r.dir, "data"), Log: log, Registry: r.registry}); err != nil {
		r.t.Fatal(err)
	}
	r.queue = sqlite.New(r.store, sqlite.Options{})
	if err := r.queue.Declare(ctx,
		queue.Subscription{Topic: signal.TopicSignals, Name: "test"}, queue.Subscription{Topic: signal.TopicSignals, Name: "deadman"}); err != nil {
		r.t.Fatal(err)
	}
	mux := http.NewServeMux()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	r.url = "http://" + l.Addr().String() + "/"
	mux.Handle("/metrics", promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{}))
	mux.Handle("/targets/metrics", r.states)
	var self http.Handler = mux
	if r.network {
		self = nil
	}
	r.alerting, err = New(ctx, Options{
		Self:   self,
		Config: r.cfg, Store: r.store, Registry: r.registry, Gatherer: r.registry, Listener: r.url,
		Dir: filepath.Join(r.dir, "data", "alerting"), Log: log, Source: "alerting/test", Now: r.now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.alerting.Register(mux)
	var parts sync.WaitGroup
	parts.Go(func() { _ = server.Serve(l) })
	if r.listening != nil {
		r.listening()
	}
	guard := r.store.Guard()
	parts.Go(func() { _ = guard.Run(ctx) })
	running := make(chan error, 1)
	parts.Go(func() { running <- r.alerting.Run(ctx) })
	r.consume(ctx, &parts)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-running; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		_ = server.Close()
		parts.Wait()
		if err := r.store.Close(); err != nil {
			r.t.Errorf("close store: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
	return r
}

func (r *rig) consume(ctx context.Context, parts *sync.WaitGroup) {
	deliveries, err := r.queue.Consume(ctx, "test", queue.Options{Exclusive: true, Prefetch: 64})
	if err != nil {
		r.t.Fatal(err)
	}
	parts.Go(func() {
		for d := range deliveries {
			var s signal.Signal
			if err := json.Unmarshal(d.Body, &s); err != nil {
				r.t.Errorf("a signal cannot be read: %v", err)
			}
			if ours[s.Labels["alertname"]] {
				r.tell(s)
			}
			if err := d.Ack(context.WithoutCancel(ctx)); err != nil {
				r.t.Logf("ack: %v", err)
			}
		}
	})
}

// next waits for the next signal.
func (r *rig) next() signal.Signal {
	r.t.Helper()
	select {
	case s := <-r.seen:
		return s
	case <-time.After(60 * time.Second):
		r.t.Fatal("nothing was told within 60 s")
	}
	return signal.Signal{}
}

// expect waits for the next signal, which must be of that alert, target and
// status.
func (r *rig) expect(name, target string, status signal.Status) signal.Signal {
	r.t.Helper()
	s := r.next()
	if s.Labels["alertname"] != name || s.Labels["target"] != target || s.Status != status {
		r.t.Fatalf("told %s of %v, want %s of %s for %s", s.Status, s.Labels, status, name, target)
	}
	return s
}

// nothing asserts that nothing is told while d passes.
func (r *rig) nothing(d time.Duration) {
	r.t.Helper()
	select {
	case s := <-r.seen:
		r.t.Fatalf("told %s of %v, want nothing", s.Status, s.Labels)
	case <-time.After(d):
	}
}

func (r *rig) ready() {
	r.t.Helper()
	select {
	case <-r.alerting.open:
	case <-time.After(60 * time.Second):
		r.t.Fatal("not ready within 60 s")
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
