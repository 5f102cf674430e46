package webhook

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// hang guards against a test that hangs; it asserts no speed.
const hang = 60 * time.Second

// rig is the room on a real store and a real listener.
type rig struct {
	*Webhook
	t        *testing.T
	dir      string
	store    *store.Store
	queue    *sqlite.Queue
	registry *prometheus.Registry
	log      *logBuffer
	conf     Config
	clock    *clock
	stop     func()
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// clock runs with the wall clock, ahead of it by what a test asks for.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// secretFile writes a secret that only we may read.
func secretFile(t testing.TB, value string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(f, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// configured is a configuration of hooks, with defaults as the decoder fills
// them in.
func configured(hooks ...Hook) Config {
	c := Default()
	c.ListenAddress = "127.0.0.1:0"
	for _, h := range hooks {
		var d Hook
		d.SetDefaults()
		if h.Window == 0 {
			h.Window = d.Window
		}
		c.Hooks = append(c.Hooks, h)
	}
	return c
}

// start runs listener and mapper. Without mapper, deliveries stay in the spool.
func start(t *testing.T, c Config, mapped bool) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), conf: c, log: &logBuffer{}, clock: &clock{}}
	r.begin(mapped)
	t.Cleanup(func() { r.end() })
	return r
}

func (r *rig) begin(mapped bool) {
	r.t.Helper()
	r.registry = prometheus.NewRegistry()
	var err error
	r.store, err = store.Open(r.t.Context(), store.Options{Dir: r.dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1, Now: r.clock.now})
	if err != nil {
		r.t.Fatal(err)
	}
	r.queue = sqlite.New(r.store, sqlite.Options{})
	if err := r.queue.Declare(r.t.Context(), queue.Subscription{Topic: signal.TopicSignals, Name: "record"}); err != nil {
		r.t.Fatal(err)
	}
	r.Webhook, err = New(r.t.Context(), Options{
		Config: r.conf, Store: r.store, Queue: r.queue, Registry: r.registry, Log: slog.New(slog.NewTextHandler(r.log, nil)), Source: "webhook/host1", Now: r.clock.now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run := func(f func(context.Context) error, ready <-chan struct{}) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				r.t.Error(err)
			}
		})
		<-ready
	}
	run(r.Listener().Run, r.Listener().Ready())
	if mapped {
		run(r.Mapper().Run, r.Mapper().Ready())
	}
	r.stop = func() {
		cancel()
		wg.Wait()
	}
}

func (r *rig) end() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if err := r.queue.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) restart(mapped bool) {
	r.t.Helper()
	r.end()
	r.begin(mapped)
}

// answer is what a sender hears.
type answer struct {
	code int
	head http.Header
	id   string
	text string
}

func (r *rig) do(req *http.Request) answer {
	r.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var said struct{ ID, Error string }
	if err := json.Unmarshal(raw, &said); err != nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		r.t.Fatalf("answer %d is no JSON: %q", res.StatusCode, raw)
	}
	return answer{res.StatusCode, res.Header, said.ID, said.Error}
}

func (r *rig) request(hook string, h http.Header, body string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://"+r.Listener().Address()+"/hook/"+hook, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	maps.Copy(req.Header, h)
	return req
}

func (r *rig) post(hook string, h http.Header, body string) answer {
	r.t.Helper()
	return r.do(r.request(hook, h, body))
}

// spooled are the deliveries that are stored.
func (r *rig) spooled() []queue.Entry {
	r.t.Helper()
	entries, err := r.queue.Peek(r.t.Context(), Subscription, queue.Filter{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	return entries
}

// signals are those that were published.
func (r *rig) signals() (all []signal.Signal) {
	r.t.Helper()
	entries, err := r.queue.Peek(r.t.Context(), "record", queue.Filter{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		var s signal.Signal
		if err := json.Unmarshal(e.Body, &s); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// await waits until something holds.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begin) > hang {
			r.t.Fatalf("%s did not happen\n%s", what, r.log)
		}
	}
}

// about waits for the signals with the verb about a delivery.
func (r *rig) about(id, verb string) (found signal.Signal) {
	r.t.Helper()
	r.await(verb+" of "+id, func() bool {
		for _, s := range r.signals() {
			if a, err := s.Action(); err == nil && s.Subject == "delivery/"+id && a.Verb == verb {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "collie_webhook_"+name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue series
				}
			}
			switch {
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			}
			return m.GetGauge().GetValue()
		}
	}
	return -1
}
