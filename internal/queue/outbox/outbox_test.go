package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/queue/outbox"
	"github.com/colliehq/collie/internal/queue/rabbitmq"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

// hang guards against a test that hangs; it asserts no speed.
const hang = 5 * time.Minute

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func local(t *testing.T, dir string) (*store.Store, *sqlite.Queue) {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	must(t, err)
	q := sqlite.New(s, sqlite.Options{})
	t.Cleanup(func() {
		must(t, q.Close())
		must(t, s.Close())
	})
	return s, q
}

// run runs a relay until stop.
func run(t *testing.T, o outbox.Options) (stop func()) {
	t.Helper()
	r, err := outbox.New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	select {
	case <-r.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			must(t, <-done)
		})
	}
	t.Cleanup(stop)
	return stop
}

func enqueue(t *testing.T, s *store.Store, keys ...string) {
	t.Helper()
	for _, key := range keys {
		must(t, s.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.Enqueue(queue.Message{Topic: "signals", Key: key, Body: []byte(key), Headers: map[string]string{"h": key}})
		}))
	}
}

func numbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("%04d", i))
	}
	return keys
}

// heard consumes in order until every key came, and returns all that came.
func heard(t *testing.T, q queue.Queue, want int) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	in, err := q.Consume(ctx, "reader", queue.Options{Prefetch: 32, Exclusive: true, Lease: 5 * time.Minute})
	must(t, err)
	seen := map[string]bool{}
	for len(seen) < want {
		select {
		case d := <-in:
			if string(d.Body) != d.Key || d.Headers["h"] != d.Key {
				t.Errorf("got %+v", d.Message)
			}
			keys = append(keys, d.Key)
			seen[d.Key] = true
			if err := d.Ack(ctx); err != nil && !errors.Is(err, queue.ErrLost) {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatalf("only %d of %d came", len(seen), want)
		}
	}
	return keys
}

// firsts drops what came again: the same key is the same message.
func firsts(keys []string) (once []string) {
	seen := map[string]bool{}
	for _, k := range keys {
		if !seen[k] {
			once = append(once, k)
		}
		seen[k] = true
	}
	return once
}

// stubborn answers as it is told.
type stubborn struct {
	queue.Queue
	mu      sync.Mutex
	answers []error
	tries   [][]string
}

func (s *stubborn) Publish(ctx context.Context, msgs ...queue.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, m := range msgs {
		keys = append(keys, m.Key)
	}
	s.tries = append(s.tries, keys)
	if len(s.answers) > 0 {
		err := s.answers[0]
		s.answers = s.answers[1:]
		if err != nil {
			return err
		}
	}
	return s.Queue.Publish(ctx, msgs...)
}

func TestNothingPassesWhatFails(t *testing.T) {
	s, q := local(t, t.TempDir())
	broker := &stubborn{Queue: memory.New(), answers: []error{queue.ErrUnknown, queue.ErrFull, queue.ErrNoSubscription}}
	must(t, broker.Declare(t.Context(), queue.Subscription{Topic: "signals", Name: "reader"}))
	reg := prometheus.NewRegistry()
	var mu sync.Mutex
	var told []string
	stop := run(t, outbox.Options{Local: q, Broker: broker, Topics: []string{"signals"}, Registry: reg, Confirmed: func(_ context.Context, msgs []queue.Message, at time.Time) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range msgs {
			told = append(told, m.Key)
		}
		if time.Since(at) > hang {
			t.Errorf("confirmed at %v", at)
		}
	}})
	want := numbered(300)
	enqueue(t, s, want...)
	if got := heard(t, broker, len(want)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	waitEmpty(t, q)
	stop()
	if !slices.Equal(told, want) {
		t.Errorf("told of %d", len(told))
	}
	for _, again := range broker.tries[1:4] {
		if !slices.Equal(again, broker.tries[0]) {
			t.Errorf("tried %v after %v", again, broker.tries[0])
		}
	}
	must(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP collie_outbox_confirmed_total Messages that the broker confirmed.
# TYPE collie_outbox_confirmed_total counter
collie_outbox_confirmed_total{topic="signals"} 300
# HELP collie_outbox_waiting Messages that the broker has not confirmed yet.
# TYPE collie_outbox_waiting gauge
collie_outbox_waiting{topic="signals"} 0
# HELP collie_outbox_blocked 1 while the broker does not take messages.
# TYPE collie_outbox_blocked gauge
collie_outbox_blocked{topic="signals"} 0
`), "collie_outbox_confirmed_total", "collie_outbox_waiting", "collie_outbox_blocked"))
}

func waitEmpty(t *testing.T, q queue.Queue) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		stats, err := q.Stats(t.Context())
		must(t, err)
		if s := stats[0]; s.Ready+s.Leased+s.Delayed == 0 {
			return
		}
		if time.Since(begin) > hang {
			t.Fatalf("still there: %+v", stats)
		}
	}
}

// A stopped relay gives back what was not confirmed, and the next goes on.
func TestStopsInTheMiddle(t *testing.T) {
	s, q := local(t, t.TempDir())
	want := numbered(40)
	dead := &stubborn{Queue: memory.New(), answers: slices.Repeat([]error{queue.ErrUnknown}, 1000)}
	stop := run(t, outbox.Options{Local: q, Broker: dead, Topics: []string{"signals"}})
	enqueue(t, s, want...)
	for begin := time.Now(); time.Since(begin) < hang; time.Sleep(time.Millisecond) {
		dead.mu.Lock()
		n := len(dead.tries)
		dead.mu.Unlock()
		if n > 2 {
			break
		}
	}
	stop()
	must(t, q.Close()) // gives the leases back
	q = sqlite.New(s, sqlite.Options{})
	defer q.Close()
	broker := memory.New()
	must(t, broker.Declare(t.Context(), queue.Subscription{Topic: "signals", Name: "reader"}))
	run(t, outbox.Options{Local: q, Broker: broker, Topics: []string{"signals"}})
	if got := heard(t, broker, len(want)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// The broker is killed and stopped while messages are relayed: all of them
// arrive, in order but for what came twice.
func TestBrokerFails(t *testing.T) {
	b := rabbit.ForTest(t)
	cfg := rabbitmq.Default()
	cfg.URLs, cfg.ConfirmTimeout = []string{b.URL()}, 5*time.Second
	broker, err := rabbitmq.New(rabbitmq.Options{Config: cfg})
	must(t, err)
	t.Cleanup(func() { must(t, broker.Close()) })
	must(t, broker.Declare(t.Context(), queue.Subscription{Topic: "signals", Name: "reader"}))
	s, q := local(t, t.TempDir())
	run(t, outbox.Options{Local: q, Broker: broker, Topics: []string{"signals"}})
	want := numbered(600)
	faults := map[int]func(){
		100: func() { _ = b.Kill() },
		200: func() { must(t, b.Start(t.Context())) },
		350: func() { must(t, b.StopApp(t.Context())) },
		450: func() { must(t, b.StartApp(t.Context())) },
	}
	for i, key := range want {
		if fault := faults[i]; fault != nil {
			fault()
		}
		enqueue(t, s, key)
	}
	got := heard(t, broker, len(want))
	waitEmpty(t, q)
	if !slices.Equal(firsts(got), want) {
		t.Errorf("not in order: %v", firsts(got))
	}
	t.Logf("%d duplicates", len(got)-len(want))
}
