// Package outbox relays what is committed on this machine to a broker: a room
// publishes in the transaction that changes its state, and the message leaves
// once the broker confirmed it. A broker that is away for hours costs disk, not
// messages.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

const (
	// batch is how many messages are under way at once per topic. The next are
	// published when all of them are confirmed, so that none passes another.
	batch = 128
	// lease is how long the local queue lets us try before it gives the
	// messages to us again; it is renewed while the broker is away.
	lease = 5 * time.Minute
)

// Options of a relay.
type Options struct {
	Local    queue.Queue // where the transactions put messages
	Broker   queue.Queue // where they go
	Topics   []string
	Log      *slog.Logger
	Registry prometheus.Registerer // nil: no metrics
	// Confirmed is told what the broker confirmed, before that leaves the local
	// queue; after a crash in between it is told again. nil: nobody wants to know.
	Confirmed func(ctx context.Context, msgs []queue.Message, at time.Time)
}

// Relay is a task.
type Relay struct {
	o     Options
	m     *metrics
	ready chan struct{}
}

// New returns a relay.
func New(o Options) (*Relay, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Confirmed == nil {
		o.Confirmed = func(context.Context, []queue.Message, time.Time) {}
	}
	r := &Relay{o: o, m: newMetrics(), ready: make(chan struct{})}
	if o.Registry != nil {
		if err := o.Registry.Register(r.m.collector(o.Local, o.Topics)); err != nil {
			return nil, fmt.Errorf("register the metrics of the outbox: %w", err)
		}
	}
	return r, nil
}

// Subscription is how the relay reads a topic of the local queue. It is the
// topic's only subscription there. A relay that is killed says nothing of the
// messages in its hand: lost leases are not counted.
func Subscription(topic string) queue.Subscription {
	return queue.Subscription{Topic: topic, Name: "outbox." + topic, CrashLimit: -1}
}

// Name implements the daemon's task.
func (r *Relay) Name() string { return "outbox" }

// Ready is closed once the local subscriptions exist, so that transactions can
// enqueue. It does not wait for the broker.
func (r *Relay) Ready() <-chan struct{} { return r.ready }

// Run relays until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	for _, topic := range r.o.Topics {
		if err := r.o.Local.Declare(ctx, Subscription(topic)); err != nil {
			return fmt.Errorf("start outbox: %w", err)
		}
	}
	close(r.ready)
	var wg sync.WaitGroup
	errs := make([]error, len(r.o.Topics))
	for i, topic := range r.o.Topics {
		wg.Go(func() { errs[i] = r.relay(ctx, topic) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// relay moves one topic, in order.
func (r *Relay) relay(ctx context.Context, topic string) error {
	in, err := r.o.Local.Consume(ctx, Subscription(topic).Name, queue.Options{Prefetch: batch, Lease: lease, Exclusive: true})
	if err != nil {
		return fmt.Errorf("start outbox: %w", err)
	}
	for first := range in {
		hand := gather(first, in)
		if !r.publish(ctx, topic, hand) {
			continue // we are stopping: the leases give it back
		}
		r.settle(ctx, topic, hand)
	}
	return nil
}

// gather takes what waits already.
func gather(first queue.Delivery, in <-chan queue.Delivery) []queue.Delivery {
	hand := []queue.Delivery{first}
	for len(hand) < batch {
		select {
		case d, ok := <-in:
			if !ok {
				return hand
			}
			hand = append(hand, d)
		default:
			return hand
		}
	}
	return hand
}

func messages(hand []queue.Delivery) []queue.Message {
	msgs := make([]queue.Message, len(hand))
	for i, d := range hand {
		msgs[i] = d.Message
	}
	return msgs
}

// publish tries until the broker has confirmed all of it, with the same keys:
// what is unknown may be there already. It reports false if ctx ended first.
func (r *Relay) publish(ctx context.Context, topic string, hand []queue.Delivery) bool {
	msgs := messages(hand)
	pauses := retry.Policy{Base: 100 * time.Millisecond, Max: 5 * time.Second}
	renewed := time.Now()
	for attempt := 1; ctx.Err() == nil; attempt++ {
		err := r.o.Broker.Publish(ctx, msgs...)
		if err == nil {
			r.m.blocked.WithLabelValues(topic).Set(0)
			now := time.Now().UTC()
			r.m.confirmed.WithLabelValues(topic).Add(float64(len(msgs)))
			r.m.lag.WithLabelValues(topic).Set(now.Sub(hand[0].FirstSeen).Seconds())
			r.o.Confirmed(ctx, msgs, now)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r.failed(topic, len(msgs), attempt, err)
		if time.Since(renewed) > lease/3 {
			extend(ctx, hand)
			renewed = time.Now()
		}
		pause(ctx, pauses.Delay(attempt, 0))
	}
	return false
}

func (r *Relay) failed(topic string, n, attempt int, err error) {
	r.m.blocked.WithLabelValues(topic).Set(1)
	if errors.Is(err, queue.ErrUnknown) {
		r.m.unknown.WithLabelValues(topic).Add(float64(n))
	}
	if attempt == 1 || attempt%20 == 0 {
		r.o.Log.Warn("broker did not take messages, trying again until it does", "topic", topic, "messages", n, "attempt", attempt, "err", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// settle acknowledges all at once, so that one commit takes many. What cannot
// be acknowledged is published again later, with the same key.
func (r *Relay) settle(ctx context.Context, topic string, hand []queue.Delivery) {
	r.together(topic, hand, func(d queue.Delivery) error { return d.Ack(context.WithoutCancel(ctx)) })
}

func (r *Relay) together(topic string, hand []queue.Delivery, f func(queue.Delivery) error) {
	var wg sync.WaitGroup
	errs := make([]error, len(hand))
	for i, d := range hand {
		wg.Go(func() { errs[i] = f(d) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		r.o.Log.Warn("confirmed messages stay in the outbox and are published again", "topic", topic, "err", err)
	}
}

// extend renews the leases. One that is lost comes again by itself.
func extend(ctx context.Context, hand []queue.Delivery) {
	var wg sync.WaitGroup
	for _, d := range hand {
		wg.Go(func() { _ = d.Extend(ctx, lease) })
	}
	wg.Wait()
}
