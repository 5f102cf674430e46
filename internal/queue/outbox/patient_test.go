package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/memory"
)

// away is a broker that can be unreachable.
type away struct {
	queue.Queue
	gone atomic.Bool
}

var errGone = errors.New("connection refused")

func (a *away) Declare(ctx context.Context, subs ...queue.Subscription) error {
	if a.gone.Load() {
		return errGone
	}
	return a.Queue.Declare(ctx, subs...)
}

func TestNothingIsPublishedBeforeEverySubscriptionIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		broker := &away{Queue: memory.New()}
		defer broker.Close()
		broker.gone.Store(true)
		p := NewPatient(broker, slog.New(slog.DiscardHandler))
		if err := p.Declare(ctx, queue.Subscription{Topic: "t", Name: "a"}, queue.Subscription{Topic: "t", Name: "b"}); err != nil {
			t.Fatal(err)
		}
		in, err := p.Consume(ctx, "b", queue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(ctx, queue.Message{Topic: "t", Key: "1"}); !errors.Is(err, errGone) {
			t.Fatalf("published while the broker is away: %v", err)
		}
		time.Sleep(time.Minute)
		broker.gone.Store(false)
		if err := p.Publish(ctx, queue.Message{Topic: "t", Key: "1"}); err != nil {
			t.Fatal(err)
		}
		d := <-in
		if d.Key != "1" || d.Subscription != "b" {
			t.Errorf("%s of %s, want 1 of b", d.Key, d.Subscription)
		}
		if err := d.Ack(ctx); err != nil {
			t.Error(err)
		}
		waiting, err := p.Peek(ctx, "a", queue.Filter{})
		if err != nil || len(waiting) != 1 {
			t.Errorf("the other subscription has %v, %v", waiting, err)
		}
		cancel()
		for range in {
		}
	})
}

// silent is a broker that does not answer, and counts who asked.
type silent struct {
	queue.Queue
	asked atomic.Int64
	over  chan struct{}
}

func (s *silent) Declare(context.Context, ...queue.Subscription) error {
	s.asked.Add(1)
	<-s.over
	return errGone
}

// A start takes its time once, however many subscriptions there are, and however
// long the broker takes to refuse.
func TestAStartDoesNotWaitForEachSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &silent{Queue: memory.New(), over: make(chan struct{})}
		defer broker.Close()
		p := NewPatient(broker, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begin := time.Now()
		for _, name := range []string{"a", "b", "c"} {
			if err := p.Declare(t.Context(), queue.Subscription{Topic: "t", Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > tryFor {
			t.Errorf("the start waited for %s", took)
		}
		if n := broker.asked.Load(); n != 1 {
			t.Errorf("the broker was asked %d times", n)
		}
		published := make(chan error, 1)
		go func() { published <- p.Publish(t.Context(), queue.Message{Topic: "t"}) }()
		synctest.Wait() // it asks the broker, too
		begin = time.Now()
		in, err := p.Consume(ctx, "b", queue.Options{})
		if took := time.Since(begin); err != nil || took > 0 {
			t.Errorf("a reader waited for %s: %v", took, err)
		}
		close(broker.over)
		if err := <-published; !errors.Is(err, errGone) {
			t.Errorf("published: %v", err)
		}
		cancel()
		for range in {
		}
	})
}
