package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// running is a ledger that runs on a real store and its queue.
type running struct {
	*Ledger
	queue *sqlite.Queue
	store *gate
	t     *testing.T
}

// gate is a store whose writing of the record can be shut, as if the disk were
// full. The queue goes on.
type gate struct {
	*store.Store
	shut   atomic.Bool
	failed atomic.Int64
}

func (g *gate) Tx(ctx context.Context, f func(*store.Tx) error) error {
	if g.shut.Load() {
		g.failed.Add(1)
		return fmt.Errorf("commit: %w", queue.ErrFull)
	}
	return g.Store.Tx(ctx, f)
}

// start runs a ledger on the directory; stop ends it and closes everything.
func start(t *testing.T, dir string) (r *running, stop func()) {
	t.Helper()
	return startWith(t, dir, -1)
}

// startWith keeps bytes of ballast on the disk.
func startWith(t *testing.T, dir string, ballast int64) (r *running, stop func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Log: log, Registry: prometheus.NewRegistry(), Ballast: ballast})
	if err != nil {
		t.Fatal(err)
	}
	r = &running{queue: sqlite.New(s, sqlite.Options{}), store: &gate{Store: s}, t: t}
	r.Ledger, err = New(Options{Config: Default(), Store: r.store, Queue: r.queue, Registry: prometheus.NewRegistry(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	<-r.Ready()
	return r, func() {
		cancel()
		if err := errors.Join(<-done, r.queue.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func (r *running) publish(signals ...signal.Signal) {
	r.t.Helper()
	for _, s := range signals {
		if err := r.queue.Publish(r.t.Context(), message(signal.TopicSignals, s.ID, s)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// await waits until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *running) stats() (sub queue.Stats) {
	r.t.Helper()
	all, err := r.queue.Stats(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == Subscription {
			return s
		}
	}
	r.t.Fatal("the ledger's subscription is not declared")
	return sub
}

func (r *running) idle() bool {
	s := r.stats()
	return s.Ready+s.Leased+s.Delayed == 0
}

func (r *running) record(target string) []string {
	return (&rig{Ledger: r.Ledger, t: r.t}).lines(target)
}

func TestRunRecordsAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	r, stop := start(t, dir)
	r.publish(signalOf("web", 1, minute(0), signal.Up), signalOf("web", 2, minute(1), signal.Suspect))
	await(t, "two signals recorded", r.idle)
	r.publish(signalOf("web", 3, minute(2), signal.Down)) // perhaps not recorded before the stop
	stop()

	r, stop = start(t, dir)
	defer stop()
	r.publish(signalOf("web", 4, minute(3), signal.Up))
	await(t, "all signals recorded", r.idle)
	want := []string{"08:00:00 08:01:00 up", "08:01:00 08:02:00 suspect", "08:02:00 08:03:00 down", "08:03:00 - up"}
	if diff := cmp.Diff(want, r.record("web")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// TestFullDisk: while nothing can be written nothing is lost, given up or
// parked, and all is written in order once there is room.
func TestFullDisk(t *testing.T) {
	r, stop := start(t, t.TempDir())
	defer stop()
	r.publish(signalOf("web", 1, minute(0), signal.Up))
	await(t, "the first signal recorded", r.idle)
	r.store.shut.Store(true)
	var want []string
	for i := range 100 {
		target := fmt.Sprintf("t%02d", i)
		r.publish(signalOf(target, 1, minute(1), signal.Up), signalOf(target, 2, minute(2), signal.Down))
		want = append(want, target)
	}
	await(t, "some attempts failed", func() bool { return r.store.failed.Load() > 20 })
	r.store.shut.Store(false)
	await(t, "all recorded", r.idle)
	for _, target := range want {
		if diff := cmp.Diff([]string{"08:01:00 08:02:00 up", "08:02:00 - down"}, r.record(target)); diff != "" {
			t.Fatalf("record of %s (-want +got):\n%s", target, diff)
		}
	}
	if s := r.stats(); s.Parked != 0 {
		t.Errorf("%d messages are parked", s.Parked)
	}
	if n := testutil.ToFloat64(r.metrics.failures); n == 0 {
		t.Error("no failure was counted")
	}
}

func TestUnreadableIsKept(t *testing.T) {
	r, stop := start(t, t.TempDir())
	defer stop()
	bad := queue.Message{Topic: signal.TopicSignals, Key: "bad", Body: []byte("no signal")}
	if err := r.queue.Publish(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	r.publish(signalOf("web", 1, minute(0), signal.Up))
	await(t, "both settled", r.idle)
	parked, err := r.queue.Peek(t.Context(), Subscription, queue.Filter{State: queue.Parked})
	if err != nil || len(parked) != 1 || string(parked[0].Body) != "no signal" || parked[0].Cause == "" {
		t.Errorf("parked: %+v, %v", parked, err)
	}
	if n := testutil.ToFloat64(r.metrics.parked); n != 1 {
		t.Errorf("%v parked are counted", n)
	}
	if diff := cmp.Diff([]string{"08:00:00 - up"}, r.record("web")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// TestSilentExporter is the lapse in real time, with leases every second.
func TestSilentExporter(t *testing.T) {
	r, stop := start(t, t.TempDir())
	defer stop()
	now := time.Now().UTC().Round(0)
	r.publish(signalOf("web", 1, now.Add(-time.Minute), signal.Up))
	lease := signal.Lease{Source: source, Session: "a", Seq: 1, Watermark: now, Every: time.Second}
	if err := r.queue.Publish(t.Context(), message(signal.TopicLeases, "1", lease)); err != nil {
		t.Fatal(err)
	}
	state := func(want signal.State, blind bool) func() bool {
		return func() bool {
			got, err := r.Target(t.Context(), "web")
			return err == nil && got.State == want && got.Blind == blind
		}
	}
	await(t, "unknown after three leases", state(signal.Unknown, true))
	got, err := r.Target(t.Context(), "web")
	if err != nil || !got.Since.Equal(now) || got.LastSeen == nil || !got.LastSeen.Equal(now) {
		t.Errorf("unknown since %v, last seen %v, want %v (%v)", got.Since, got.LastSeen, now, err)
	}
	lease.Seq, lease.Watermark = 2, time.Now()
	if err := r.queue.Publish(t.Context(), message(signal.TopicLeases, "2", lease)); err != nil {
		t.Fatal(err)
	}
	await(t, "up again with the lease", state(signal.Up, false))
}
