package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// t0 is when the stories of the tests begin.
var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

const source = "exporter/host1"

// rig is a ledger on a real store, with a clock that the test sets.
type rig struct {
	*Ledger
	t        testing.TB
	clock    time.Time
	log      *strings.Builder
	registry *prometheus.Registry
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{
		Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigOn(t, openStore(t, t.TempDir()), memory.New())
}

func newRigOn(t testing.TB, s Store, q queue.Queue) *rig {
	t.Helper()
	r := &rig{t: t, clock: t0, log: &strings.Builder{}, registry: prometheus.NewRegistry()}
	var err error
	r.Ledger, err = New(Options{
		Config: Default(), Store: s, Queue: q, Registry: r.registry,
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: func() time.Time { return r.clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signalOf is what an exporter says: target, seq, minutes after t0, state.
func signalOf(target string, seq uint64, at time.Time, state signal.State, change ...func(*signal.Signal, *signal.Target)) signal.Signal {
	body := signal.Target{Name: target, State: state, Probe: "http_2xx", Tier: "essential", Address: "https://" + target + ".example.org/", Every: "30s"}
	switch state {
	case signal.Suspect:
		body.Reason, body.Cause, body.Evidence, body.Rule = "refused", "connection refused", "dial tcp 192.0.2.1:443: connect: connection refused", "1 failed, not yet 3 failed in a row"
	case signal.Down:
		body.Reason, body.Cause, body.Evidence, body.Rule = "refused", "connection refused", "dial tcp 192.0.2.1:443: connect: connection refused", "3 failed in a row"
	case signal.Up:
		body.Rule = "1 succeeded"
	case signal.Unknown:
		body.Rule = "collie was stopped"
	case signal.Degraded, signal.Unreachable, signal.Maintenance:
	}
	s := signal.Signal{
		Kind: signal.KindTarget, Source: source, Subject: signal.TargetSubject(target), Status: state.Status(),
		Seq: seq, Observed: at, Labels: map[string]string{"target": target},
	}
	for _, f := range change {
		f(&s, &body)
	}
	s.ID = fmt.Sprintf("%s/%s/%d", s.Source, target, s.Seq)
	var err error
	if s.Body, err = json.Marshal(body); err != nil {
		panic(err)
	}
	if s, err = signal.New(s); err != nil {
		panic(err)
	}
	return s
}

func snapshot(_ *signal.Signal, t *signal.Target) { t.Snapshot = true }
func removed(_ *signal.Signal, t *signal.Target)  { t.Removed = true }

func from(source string) func(*signal.Signal, *signal.Target) {
	return func(s *signal.Signal, _ *signal.Target) { s.Source = source }
}

func message(topic, key string, v any) queue.Message {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return queue.Message{Topic: topic, Key: key, Body: raw}
}

// tell hands a signal to the ledger as the queue would, and sets the clock to
// its time.
func (r *rig) tell(s signal.Signal) {
	r.t.Helper()
	if s.Observed.After(r.clock) {
		r.clock = s.Observed
	}
	if err := r.try(s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) try(s signal.Signal) error {
	j := r.signal(queue.Delivery{Message: message(signal.TopicSignals, s.ID, s)})
	return j.do(context.Background())
}

func (r *rig) hear(session string, seq uint64, watermark time.Time) {
	r.t.Helper()
	j := r.lease(queue.Delivery{Message: message(signal.TopicLeases, "k", signal.Lease{
		Source: source, Session: session, Seq: seq, Watermark: watermark, Every: 15 * time.Second,
	})})
	if err := j.do(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// silence makes it look as if the exporter was not heard of for long.
func (r *rig) silence() {
	r.t.Helper()
	r.leases.mu.Lock()
	for s, h := range r.leases.sources {
		h.at = h.at.Add(-missed*h.every - time.Second)
		r.leases.sources[s] = h
	}
	r.leases.mu.Unlock()
	for _, s := range r.leases.silent(time.Now()) {
		if err := r.giveUp(r.t.Context(), s); err != nil {
			r.t.Fatal(err)
		}
	}
}

// lines are the intervals of the target, oldest first, as "08:00:00 08:10:00 up".
func (r *rig) lines(target string) []string {
	r.t.Helper()
	var lines []string
	q := Query{Target: target, Limit: 3}
	for {
		page, err := r.Intervals(r.t.Context(), q)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, i := range page.Items {
			to := "-"
			if i.To != nil {
				to = i.To.Format("15:04:05.999999999")
			}
			lines = append([]string{i.From.Format("15:04:05.999999999") + " " + to + " " + string(i.State)}, lines...)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return lines
		}
	}
}
