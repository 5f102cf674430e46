package collectors

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/collectors/loki"
	"github.com/colliehq/collie/internal/store"
	fake "github.com/colliehq/collie/internal/testkit/loki"
)

// world is a shipper whose clock, Loki and files are a test's. Rounds are made
// by the test, so nothing depends on time.
type world struct {
	t     testing.TB
	dir   string // of the logs
	data  string
	store *store.Store
	loki  *fake.Server
	cfg   Config
	now   time.Time

	ship   *Shipper
	answer func(body []byte) *loki.Answer // in place of Loki; nil means Loki answers
	kill   func(point string) bool
	dead   bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), data: t.TempDir(), loki: fake.New(), cfg: Default(), now: time.Now()}
	t.Cleanup(w.loki.Close)
	w.loki.Now = func() time.Time { return w.now }
	w.cfg.Sources = []Source{{Files: filepath.Join(w.dir, "*.log*"), Labels: map[string]string{"job": "test"}}}
	w.cfg.Loki.URL = w.loki.URL()
	var err error
	w.store, err = store.Open(t.Context(), store.Options{
		Dir: w.data, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// Push answers as told, or as Loki does.
func (w *world) Push(_ context.Context, body []byte) loki.Answer {
	if w.answer != nil {
		if a := w.answer(body); a != nil {
			return *a
		}
	}
	return w.push(body)
}

func (w *world) push(body []byte) loki.Answer {
	status, text := w.loki.Push("application/x-protobuf", body)
	a := loki.Answer{Status: status, Cause: strings.TrimSpace(text), Verdict: loki.Later}
	switch status {
	case 204:
		a.Verdict = loki.Accepted
	case 400:
		a.Verdict = loki.Rejected
	case 413:
		a.Verdict = loki.TooLarge
	}
	return a
}

var errKilled = errors.New("killed")

func (w *world) start() {
	w.t.Helper()
	var err error
	w.ship, err = New(w.t.Context(), Options{
		Config: w.cfg, Store: w.store, Dir: w.data, Host: "here", Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }, sink: w,
		fault: func(point string) error {
			if w.kill != nil && w.kill(point) {
				w.dead = true
				return errKilled
			}
			return nil
		},
	})
	if err == nil {
		err = w.ship.begin(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// stop forgets all that is not stored, as a kill does.
func (w *world) stop() {
	if w.ship != nil {
		w.ship.tracker.Close()
	}
	w.ship, w.dead = nil, false
}

// step is one look and as many batches as go; a killed shipper starts again.
func (w *world) step() {
	w.t.Helper()
	if w.ship == nil {
		w.start()
	}
	w.ship.look(w.t.Context())
	for more := true; more && !w.dead; {
		more = w.ship.round(w.t.Context(), nil)
	}
	if w.dead {
		w.stop()
	}
}

// drain makes Loki well and steps until everything is acknowledged.
func (w *world) drain() {
	w.t.Helper()
	w.answer, w.kill = nil, nil
	for range 1000 {
		w.now = w.now.Add(2 * time.Minute)
		w.step()
		if w.ship.delivery == nil && w.unread() == 0 {
			return
		}
	}
	w.t.Fatalf("%d bytes stay unread", w.unread())
}

func (w *world) unread() (n int64) {
	for _, l := range w.ship.tracker.Live() {
		n += l.Unread()
	}
	return n
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	w.must(err)
}

func (w *world) rename(from, to string) { w.must(os.Rename(w.path(from), w.path(to))) }

func (w *world) copy(from, to string) {
	b, err := os.ReadFile(w.path(from))
	w.must(err)
	w.must(os.WriteFile(w.path(to), b, 0o600))
}

func (w *world) truncate(name string) { w.must(os.Truncate(w.path(name), 0)) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// copies counts how often each line is in Loki or in the quarantine.
func (w *world) copies() map[string]int {
	w.t.Helper()
	n := map[string]int{}
	for _, e := range w.loki.Entries() {
		n[e.Line]++
	}
	for _, q := range w.quarantined() {
		n[q.Line]++
	}
	return n
}

func (w *world) quarantined() (all []Quarantined) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.data, "quarantine", "*.jsonl"))
	w.must(err)
	for _, path := range files {
		f, err := os.Open(path)
		w.must(err)
		for in := bufio.NewScanner(f); in.Scan(); {
			var q Quarantined
			w.must(json.Unmarshal(in.Bytes(), &q))
			all = append(all, q)
		}
		w.must(f.Close())
	}
	return all
}
