package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
)

// hang guards against a test that hangs; it asserts no speed.
const hang = 30 * time.Second

func next(t *testing.T, q *Queue, o queue.Options) queue.Delivery {
	t.Helper()
	in, err := q.Consume(t.Context(), "s", o)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-in:
		return d
	case <-time.After(hang):
		t.Fatal("nothing was delivered")
	}
	return queue.Delivery{}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func withMessages(t *testing.T, keys ...string) (q *Queue, dir string) {
	t.Helper()
	dir = t.TempDir()
	q = openQueue(t, dir)
	must(t, q.Declare(t.Context(), queue.Subscription{Topic: "t", Name: "s", CrashLimit: 3}))
	for _, key := range keys {
		must(t, q.Publish(t.Context(), queue.Message{Topic: "t", Key: key}))
	}
	return q, dir
}

// crashed is what a power cut would leave of a directory now.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	image := t.TempDir()
	for _, name := range []string{"collie.db", "collie.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(image, name), b, 0o600))
	}
	return image
}

func TestCleanStopIsNoLostLease(t *testing.T) {
	q, dir := withMessages(t, "k1")
	if d := next(t, q, queue.Options{}); d.Attempt != 1 {
		t.Fatalf("attempt %d", d.Attempt)
	}
	must(t, q.Close())
	must(t, q.store.Close())
	q = openQueue(t, dir)
	if d := next(t, q, queue.Options{}); d.Attempt != 1 || d.Key != "k1" {
		t.Errorf("%s, attempt %d", d.Key, d.Attempt)
	}
}

// A message that kills its consumer is parked after its crash limit; one that
// was only beside it is not.
func TestCrashLoopParksTheCulprit(t *testing.T) {
	q, dir := withMessages(t, "innocent", "culprit", "other")
	if d := next(t, q, queue.Options{Prefetch: 2, Exclusive: true}); d.Key != "innocent" {
		t.Fatalf("got %s", d.Key)
	}
	waitLeased(t, q, 2)
	acked := 0
	for range 6 {
		q = openQueue(t, crashed(t, dir))
		dir = q.dirOf(t)
		in, err := q.Consume(t.Context(), "s", queue.Options{Prefetch: 2, Exclusive: true})
		must(t, err)
		if survive(t, q, in, &acked) {
			break
		}
	}
	entries, err := q.Peek(t.Context(), "s", queue.Filter{})
	must(t, err)
	if len(entries) != 1 || entries[0].Key != "culprit" || entries[0].State != queue.Parked || entries[0].Cause == "" || acked != 2 {
		t.Errorf("%d acknowledged, left: %+v", acked, entries)
	}
}

// survive acknowledges what comes until the culprit does, which it keeps in the
// hand: then comes the power cut. It reports whether the culprit is parked.
func survive(t *testing.T, q *Queue, in <-chan queue.Delivery, acked *int) bool {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < hang; {
		select {
		case d := <-in:
			if d.Key == "culprit" {
				return false
			}
			must(t, d.Ack(t.Context()))
			*acked++
		case <-time.After(time.Millisecond):
		}
		stats, err := q.Stats(t.Context())
		must(t, err)
		if s := stats[0]; s.Parked == 1 && s.Ready+s.Leased+s.Delayed == 0 {
			return true
		}
	}
	t.Fatal("neither delivered nor parked")
	return false
}

func waitLeased(t *testing.T, q *Queue, n int) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < hang; time.Sleep(time.Millisecond) {
		if stats, err := q.Stats(t.Context()); err != nil || stats[0].Leased == n {
			must(t, err)
			return
		}
	}
	t.Fatalf("not %d leased", n)
}

func (q *Queue) dirOf(t *testing.T) (dir string) {
	t.Helper()
	must(t, q.store.View(t.Context(), func(tx *sql.Tx) error {
		var seq int
		var name string
		return tx.QueryRow(`PRAGMA database_list`).Scan(&seq, &name, &dir)
	}))
	return filepath.Dir(dir)
}

// The wall clock was an hour ahead when the process stopped: nothing sleeps an
// hour longer for it.
func TestClockSetBackBetweenRuns(t *testing.T) {
	q, dir := withMessages(t, "k1", "k2")
	d := next(t, q, queue.Options{})
	must(t, d.RetryAfter(t.Context(), 100*time.Millisecond, errors.New("not now")))
	must(t, q.Close())
	hour := int64(time.Hour)
	must(t, q.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE queue_deliveries SET due = due + ? WHERE state = 1`, hour)
		return err
	}))
	must(t, q.store.Close())

	db, err := sql.Open("sqlite", filepath.Join(dir, "collie.db"))
	must(t, err)
	_, err = db.Exec(`UPDATE queue_clock SET at = at + ?`, hour)
	must(t, errors.Join(err, db.Close()))

	q = openQueue(t, dir)
	in, err := q.Consume(t.Context(), "s", queue.Options{Prefetch: 2})
	must(t, err)
	seen := map[string]bool{}
	for len(seen) < 2 {
		select {
		case d := <-in:
			seen[d.Key] = true
		case <-time.After(hang):
			t.Fatalf("only %v came", seen)
		}
	}
}

func TestUnacknowledgedSurviveThePowerCut(t *testing.T) {
	q, dir := withMessages(t, "k1", "k2", "k3")
	must(t, next(t, q, queue.Options{}).Ack(t.Context()))
	reg := prometheus.NewRegistry()
	s, err := store.Open(context.Background(), store.Options{Dir: crashed(t, dir), Log: slog.New(slog.DiscardHandler), Registry: reg, Ballast: -1})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	guarded := make(chan error, 1)
	go func() { guarded <- s.Guard().Run(ctx) }()
	waitFor(t, func() bool { return gauge(t, reg, "collie_store_quick_check") == 2 }) // the stop was not clean
	stop()
	must(t, <-guarded)
	sub, _ := s.Queue().Sub("s")
	n := sub.Counts()
	if n[queue.Ready] != 2 {
		t.Errorf("%v", n)
	}
	must(t, s.Close())
}

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > hang {
			t.Fatal("it did not happen")
		}
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
