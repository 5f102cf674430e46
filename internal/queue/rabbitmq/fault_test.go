package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/conformance"
	"github.com/colliehq/collie/internal/testkit/faultproxy"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

func behindProxy(t *testing.T, b *rabbit.Broker) (*faultproxy.Proxy, Config) {
	t.Helper()
	p, err := faultproxy.Start(b.Address())
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p, configFor("amqp://" + p.Address())
}

// afterDeclare breaks every connection once the subscriptions exist, so that
// each case of the suite begins on a dead one. A publisher of unknown outcome
// publishes again, as the contract says.
type afterDeclare struct {
	*Queue
	fault func()
}

func (q *afterDeclare) Declare(ctx context.Context, subs ...queue.Subscription) error {
	err := retried(func() error { return q.Queue.Declare(ctx, subs...) })
	if err == nil {
		q.fault()
	}
	return err
}

func (q *afterDeclare) Publish(ctx context.Context, msgs ...queue.Message) error {
	return retried(func() error { return q.Queue.Publish(ctx, msgs...) })
}

func (q *afterDeclare) Stats(ctx context.Context) (stats []queue.Stats, err error) {
	err = retried(func() error {
		stats, err = q.Queue.Stats(ctx)
		return err
	})
	return stats, err
}

func retried(f func() error) (err error) {
	for begin := time.Now(); time.Since(begin) < hang; time.Sleep(10 * time.Millisecond) {
		err = f()
		if _, broken := errors.AsType[*amqp.Error](err); !broken && !errors.Is(err, queue.ErrUnknown) {
			return err
		}
	}
	return err
}

func TestConformanceBehindProxy(t *testing.T) {
	b := rabbit.ForTest(t)
	for name, fault := range map[string]func(*faultproxy.Proxy){
		"latency": func(p *faultproxy.Proxy) { p.Latency(2 * time.Millisecond) },
		"cut":     (*faultproxy.Proxy).Cut,
		"reset":   (*faultproxy.Proxy).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) queue.Queue {
				p, c := behindProxy(t, b)
				return &afterDeclare{open(t, c), func() { fault(p) }}
			}, without...)
		})
	}
}

// Whatever happens to the connections, what was published arrives.
func TestNothingIsLostBehindProxy(t *testing.T) {
	b := rabbit.ForTest(t)
	for name, fault := range map[string]func(*faultproxy.Proxy, int){
		"cut":     func(p *faultproxy.Proxy, _ int) { p.Cut() },
		"reset":   func(p *faultproxy.Proxy, _ int) { p.Reset() },
		"latency": func(p *faultproxy.Proxy, _ int) { p.Latency(50 * time.Millisecond) },
		// A confirm of one message has 21 bytes.
		"truncation inside a confirm": func(p *faultproxy.Proxy, i int) { p.Truncate(1 + i%20) },
		"hang":                        hangs,
	} {
		t.Run(name, func(t *testing.T) {
			p, c := behindProxy(t, b)
			c.ConfirmTimeout = time.Second
			survive(t, open(t, c), func(i int) {
				if i%20 == 10 {
					p.Restore()
					fault(p, i/20)
				}
			})
		})
	}
}

func hangs(p *faultproxy.Proxy, i int) {
	if i > 1 {
		return // each takes the time of a confirm
	}
	p.Hang()
	time.AfterFunc(1500*time.Millisecond, p.Restore)
}

// survive publishes and consumes while faults happen, and wants every message
// at the other end.
func survive(t *testing.T, q *Queue, fault func(i int)) {
	t.Helper()
	const n = 120
	must(t, q.Declare(t.Context(), queue.Subscription{Topic: "a", Name: "a1", CrashLimit: -1}))
	in, err := q.Consume(t.Context(), "a1", queue.Options{Prefetch: 10})
	must(t, err)
	published := make(chan error, 1)
	go func() {
		for i := range n {
			fault(i)
			m := queue.Message{Topic: "a", Key: fmt.Sprint(i), Body: make([]byte, 4096)}
			err := errors.New("not tried")
			for begin := time.Now(); err != nil && time.Since(begin) < hang; {
				if err = q.Publish(t.Context(), m); err != nil {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	seen, duplicates := map[string]bool{}, 0
	for len(seen) < n {
		select {
		case d := <-in:
			if seen[d.Key] {
				duplicates++
			}
			seen[d.Key] = true
			if err := d.Ack(t.Context()); err != nil && !errors.Is(err, queue.ErrLost) {
				t.Fatal(err)
			}
		case <-time.After(hang):
			t.Fatalf("%d of %d came", len(seen), n)
		}
	}
	must(t, <-published)
	t.Logf("%d duplicates", duplicates)
}

// The broker drops, without a word, what dead-letters into a queue in which it
// died before. Messages that kill their consumers go round and round here:
// through the ladder, delivered again, parked, redriven. None is ever gone, and
// no copy carries the broker's record of its deaths.
func TestNothingIsLostToCycleDetection(t *testing.T) {
	b := rabbit.ForTest(t)
	q := open(t, configFor(b.URL()))
	q.steps = []Step{{"5s", 200 * time.Millisecond}} // the same rules, sooner
	must(t, q.Declare(t.Context(), queue.Subscription{Topic: "a", Name: "a1", CrashLimit: 4}))
	const n = 5
	for i := range n {
		must(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: fmt.Sprint(i)}))
	}
	for round := range 3 {
		crashUntilParked(t, q, n)
		for _, e := range parked(t, q) {
			if !strings.Contains(e.Cause, "lease lost") {
				t.Fatalf("round %d: parked %+v", round, e)
			}
		}
		wantNoDeaths(t, q)
		moved, err := q.Redrive(t.Context(), "a1")
		must(t, err)
		if moved < n {
			t.Fatalf("round %d: redrove %d", round, moved)
		}
	}
	in, err := q.Consume(t.Context(), "a1", queue.Options{})
	must(t, err)
	for seen := map[string]bool{}; len(seen) < n; {
		select {
		case d := <-in:
			seen[d.Key] = true
			must(t, d.Ack(t.Context()))
		case <-time.After(hang):
			t.Fatalf("only %v came", seen)
		}
	}
}

// parked lists one of each key: what was moved when the connection ended may be
// there twice.
func parked(t *testing.T, q *Queue) map[string]queue.Entry {
	t.Helper()
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{State: queue.Parked})
	must(t, err)
	keys := map[string]queue.Entry{}
	for _, e := range entries {
		keys[e.Key] = e
	}
	return keys
}

// crashUntilParked consumes with connections that are broken while messages are
// in the hand, as if each delivery killed its process.
func crashUntilParked(t *testing.T, q *Queue, n int) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < hang; {
		if len(parked(t, q)) == n {
			return
		}
		crashOnce(t, q)
	}
	stats, err := q.Stats(t.Context())
	must(t, err)
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{})
	must(t, err)
	t.Fatalf("not all were parked: %+v\n%+v", stats, entries)
}

func crashOnce(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	in, err := q.Consume(ctx, "a1", queue.Options{Prefetch: 3})
	must(t, err)
	if d, ok := <-in; ok {
		x, is := d.Settler.(*settler)
		if !is {
			t.Fatal("not ours")
		}
		_ = x.s.conn.CloseDeadline(time.Now()) // without a word to anybody
	}
	cancel()
	for range in { // it closes
	}
}

func wantNoDeaths(t *testing.T, q *Queue) {
	t.Helper()
	must(t, q.ask(t.Context(), func(ch *amqp.Channel) error {
		d, some, err := ch.Get(q.names("a1").parked, false)
		if err != nil || !some {
			return errors.Join(err, errors.New("nothing is parked"))
		}
		if d.Headers["x-death"] != nil {
			t.Errorf("it carries %v", d.Headers["x-death"])
		}
		return d.Nack(false, true)
	}))
}
