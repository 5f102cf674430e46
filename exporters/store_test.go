package exporters

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// node is an exporter on a real store, with a real clock and real probes.
type node struct {
	t     *testing.T
	store *store.Store
	queue *sqlite.Queue
	*Exporter
	stop func()
}

func newNode(t *testing.T, dir string, c Config) *node {
	t.Helper()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, store: s, queue: sqlite.New(s, sqlite.Options{})}
	if err := n.queue.Declare(ctx, queue.Subscription{Topic: signal.TopicSignals, Name: "signals"},
		queue.Subscription{Topic: signal.TopicLeases, Name: "leases"}); err != nil {
		t.Fatal(err)
	}
	kinds := host.Kinds()
	n.Exporter, err = New(ctx, Options{
		Config: c, Modules: module.Defaults(kinds), Kinds: kinds, Store: s,
		Registry: prometheus.NewRegistry(), Log: log, Source: "exporter/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(run) }()
	n.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := n.queue.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	<-n.Ready()
	return n
}

// await waits until the published state of a target is the wanted one.
func (n *node) await(name string, want signal.State) {
	n.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		for _, s := range n.sights() {
			if s.name == name && s.published.state == want {
				return
			}
		}
		select {
		case <-limit:
			n.t.Fatalf("%s does not become %s", name, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (n *node) signals() []told {
	n.t.Helper()
	entries, err := n.queue.Peek(n.t.Context(), "signals", queue.Filter{Limit: 1000})
	if err != nil {
		n.t.Fatal(err)
	}
	d := newDisk()
	for _, e := range entries {
		d.messages = append(d.messages, e.Message)
	}
	return d.signals(n.t)
}

func words(signals []told, name string) (out []string) {
	for _, s := range signals {
		if s.body.Name == name {
			out = append(out, string(s.body.State))
		}
	}
	return out
}

// A real server, a real disk: what happened is in the queue, and the next
// session goes on where the last one ended.
func TestOnTheRealStore(t *testing.T) {
	var sick atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	var web TargetConfig
	web.SetDefaults()
	web.Name, web.Probe, web.Target, web.Every = "web", "http_2xx", server.URL, 50*time.Millisecond
	web.DownAfter.Failed, web.DownAfter.Of = 2, 2
	c := configOf(web, heartbeatOf("cron", time.Hour, time.Hour))
	dir := t.TempDir()

	n := newNode(t, dir, c)
	n.await("web", signal.Up)
	sick.Store(true)
	n.await("web", signal.Down)
	before := time.Now()
	if err := n.Ping(t.Context(), "cron"); err != nil {
		t.Fatal(err)
	}
	n.await("cron", signal.Up)
	n.stop()

	n = newNode(t, dir, c)
	n.await("web", signal.Down) // at once with the first result, as it was down before
	sick.Store(false)
	n.await("web", signal.Up)
	last, err := n.record.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ping := last.rows["cron"].lastPing; ping.Before(before) || ping.After(time.Now()) {
		t.Errorf("the ping of %s is stored as %s", before, ping)
	}
	if last.watermark.Before(before) || last.session == "" {
		t.Errorf("watermark %s of session %q", last.watermark, last.session)
	}
	signals := n.signals()
	n.stop()
	want := []string{"unknown", "up", "suspect", "down", "unknown", "unknown", "down", "up"}
	if diff := cmp.Diff(want, words(signals, "web")); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
	w := &world{t: t, disk: newDisk()}
	for _, s := range signals {
		raw, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		w.disk.messages = append(w.disk.messages, queue.Message{Topic: signal.TopicSignals, Key: s.ID, Body: raw})
	}
	checkOrder(t, w)
	for _, s := range signals {
		if s.body.State == signal.Down && s.body.Reason != "status" {
			t.Errorf("down because of %q", s.body.Reason)
		}
	}
}

// A data directory of a newer version is refused with a sentence.
func TestNewerTablesAreRefused(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir, configOf())
	err := n.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO collie_exporters_version (version_id, is_applied) VALUES (99, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n.stop()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := openRecord(t.Context(), s); err == nil {
		t.Error("tables of a newer version were opened")
	}
}

// A target's own options replace those of its module, for the schedule and for
// /probe alike.
func TestTargetWithItsOwnOptions(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer server.Close()
	c, said := decode(t, `targets: [{name: pot, probe: http_2xx, target: "`+server.URL+`", with: {valid_status_codes: [418]}}]`)
	if len(said) > 0 {
		t.Fatal(said)
	}
	c.Targets[0].Every = 50 * time.Millisecond
	n := newNode(t, t.TempDir(), c)
	defer n.stop()
	n.await("pot", signal.Up)
	mux := http.NewServeMux()
	n.Register(mux)
	get := func(path string) string {
		out := httptest.NewRecorder()
		mux.ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return out.Body.String()
	}
	if sd := get("/sd/targets"); !strings.Contains(sd, `"__param_module":"target/pot"`) {
		t.Errorf("discovery: %s", sd)
	}
	for module, want := range map[string]string{"target/pot": "\nprobe_success 1\n", "http_2xx": "\nprobe_success 0\n"} {
		if got := get("/probe?module=" + module + "&target=" + server.URL); !strings.Contains(got, want) {
			t.Errorf("module %s lacks %q:\n%s", module, want, got)
		}
	}
}
