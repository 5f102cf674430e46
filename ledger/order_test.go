package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/retry"
	"github.com/colliehq/collie/signal"
)

// bench hands deliveries to the consumer and writes down what became of them.
type bench struct {
	*Ledger
	mu     sync.Mutex
	told   []string
	doings map[string]func() error
}

func newBench(doings map[string]func() error) *bench {
	return &bench{
		Ledger: &Ledger{log: slog.New(slog.DiscardHandler), metrics: newMetrics(prometheus.NewRegistry(), 0), leases: newWatch()},
		doings: doings,
	}
}

func (b *bench) tell(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, what)
}

// run consumes the keys, all of one subject, until nothing is left to do or the
// time is over.
func (b *bench) run(t *testing.T, limit time.Duration, keys ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	in := make(chan queue.Delivery, len(keys))
	for _, key := range keys {
		in <- queue.Delivery{Message: queue.Message{Key: key}, Attempt: 1, Settler: settled{b, key}}
	}
	close(in)
	err := b.consume(ctx, in, workers, func(d queue.Delivery) *job {
		return &job{Delivery: d, lane: "target/web", do: func(context.Context) error {
			err := b.doings[d.Key]()
			if err == nil {
				b.tell("did " + d.Key)
			}
			return err
		}}
	})
	if err != nil {
		t.Error(err)
	}
	return b.told
}

// settled is how a delivery was answered.
type settled struct {
	b   *bench
	key string
}

func (s settled) Ack(context.Context) error { s.b.tell("ack " + s.key); return nil }
func (s settled) RetryAfter(context.Context, time.Duration, error) error {
	s.b.tell("retry " + s.key)
	return nil
}
func (s settled) Park(context.Context, error) error           { s.b.tell("park " + s.key); return nil }
func (s settled) Extend(context.Context, time.Duration) error { return nil }

func works() error { return nil }

func failsFor(tries int) func() error {
	return func() error {
		if tries--; tries >= 0 {
			return errors.New("the disk has a bad day")
		}
		return nil
	}
}

// What cannot be written yet is not passed by what was said later of the same
// subject, however long that takes.
func TestConsumerKeepsTheOrder(t *testing.T) {
	never := func() error { return errors.New("the disk has a bad day") }
	hopeless := func() error { return retry.Stop(errors.New("nobody understands it")) }
	tests := []struct {
		name  string
		first func() error
		want  []string
	}{
		{"works", works, []string{"did 1", "ack 1", "did 2", "ack 2"}},
		{"works at last", failsFor(500), []string{"did 1", "ack 1", "did 2", "ack 2"}},
		{"never works", never, nil}, // both come again at the next start
		{"can never work", hopeless, []string{"park 1", "did 2", "ack 2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(map[string]func() error{"1": tt.first, "2": works})
				if diff := cmp.Diff(tt.want, b.run(t, time.Hour, "1", "2")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What the tables refuse is hopeless; a disk or a stop is not.
func TestHopeless(t *testing.T) {
	r := newRig(t)
	backwards := r.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO ledger_intervals (target, from_ns, to_ns, state, reason, cause, rule, evidence, source) VALUES ('a', 2, 1, '', '', '', '', '', '')`)
		return err
	})
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{backwards, true},
		{retry.Stop(errors.New("no signal")), true},
		{fmt.Errorf("commit: %w", queue.ErrFull), false},
		{fmt.Errorf("commit: %w", queue.ErrUnknown), false},
		{fmt.Errorf("commit: %w", queue.ErrClosed), false},
		{context.Canceled, false},
		{errors.New("anything"), false},
	} {
		if tt.err == nil || isHopeless(tt.err) != tt.want {
			t.Errorf("%v: hopeless %v, want %v", tt.err, !tt.want, tt.want)
		}
	}
}

// shaky is a store on which writing the record fails at random, in every way.
type shaky struct {
	*store.Store
	mu sync.Mutex
	r  *rand.Rand
}

func (s *shaky) pick(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

func (s *shaky) Tx(ctx context.Context, do func(*store.Tx) error) error {
	switch s.pick(12) {
	case 0:
		return fmt.Errorf("write: %w", queue.ErrFull)
	case 1:
		return errors.New("write: the disk has a bad day")
	case 2:
		if err := s.Store.Tx(ctx, do); err != nil {
			return err
		}
		return fmt.Errorf("commit: %w", queue.ErrUnknown)
	}
	return s.Store.Tx(ctx, do)
}

// TestModelOfTheConsumer: through the real queue, a disk that fails in every
// way and restarts, signals of one target are recorded in the order in which
// they were published.
func TestModelOfTheConsumer(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 5))
			e := &exporterModel{r: r, now: t0, seq: 1000, states: map[string]signal.State{}, last: map[string]time.Time{}}
			e.run(90)
			e.said = e.said[:90]
			s := &shaky{Store: openStore(t, t.TempDir()), r: rand.New(rand.NewPCG(seed, 6))}
			var l *rig
			for said := range slices.Chunk(e.said, 40) { // each to a ledger that was started anew, with what the one before left
				q := sqlite.New(s.Store, sqlite.Options{})
				l = newRigOn(t, s, q)
				consumeUntil(t, l, q, said, len(said) < 40)
				if err := q.Close(); err != nil {
					t.Error(err)
				}
				if late, stale := testutil.ToFloat64(l.metrics.late), testutil.ToFloat64(l.metrics.stale); late+stale > 0 {
					t.Errorf("%v signals came late, %v were stale: something was passed by", late, stale)
				}
			}
			for _, target := range []string{"a", "b", "c"} {
				if diff := cmp.Diff(oracle(e.said, target), allSpans(t, l, target)); diff != "" {
					t.Errorf("record of %s (-want +got):\n%s", target, diff)
				}
			}
		})
	}
}

// consumeUntil has a running ledger read the signals: all, or some before it is
// stopped.
func consumeUntil(t *testing.T, l *rig, q *sqlite.Queue, said []signal.Signal, all bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	<-l.Ready()
	l.leases.saw(source, time.Hour, time.Now()) // nobody falls silent here
	for _, s := range said {
		if err := q.Publish(t.Context(), message(signal.TopicSignals, s.ID, s)); err != nil {
			t.Fatal(err)
		}
	}
	reader := &running{Ledger: l.Ledger, queue: q, t: t}
	if all {
		await(t, "all signals recorded", reader.idle)
	} else {
		await(t, "some signals recorded", func() bool { return reader.stats().Ready < len(said) })
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
