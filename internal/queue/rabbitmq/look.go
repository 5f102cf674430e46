package rabbitmq

import (
	"context"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// Stats implements queue.Queue. The broker does not tell how old the oldest
// message is: OldestReady stays zero.
func (q *Queue) Stats(ctx context.Context) ([]queue.Stats, error) {
	if q.isClosed() {
		return nil, queue.ErrClosed
	}
	var stats []queue.Stats
	for _, s := range q.declared() {
		d, err := q.depth(ctx, s)
		if err != nil {
			return nil, err
		}
		stats = append(stats, queue.Stats{
			Subscription: q.specOf(s), Ready: d.main + d.alone, Delayed: d.delayed, Leased: d.leased, Parked: d.parked, Spilled: d.spilled,
		})
	}
	return stats, nil
}

// Peek implements queue.Queue. Messages are taken and given back on one
// channel, which keeps their order. What is ready is left alone while somebody
// consumes it: a message taken for a moment would be passed by the next.
func (q *Queue) Peek(ctx context.Context, subscription string, f queue.Filter) ([]queue.Entry, error) {
	s, err := q.sub(subscription)
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	all := []queue.State{queue.Ready, queue.Delayed, queue.Leased, queue.Parked, queue.Spilled}
	if f.State != "" {
		if !slices.Contains(all, f.State) {
			return nil, fmt.Errorf("peek into %s: no state %q", subscription, f.State)
		}
		all = []queue.State{f.State}
	}
	var entries []queue.Entry
	for _, state := range all {
		some, err := q.peek(ctx, s, state, f.Limit)
		if err != nil {
			return nil, fmt.Errorf("peek into %s: %w", subscription, err)
		}
		entries = append(entries, some...)
	}
	slices.SortStableFunc(entries, func(a, b queue.Entry) int { return a.FirstSeen.Compare(b.FirstSeen) })
	return entries[:min(len(entries), f.Limit)], nil
}

func (q *Queue) peek(ctx context.Context, s *sub, state queue.State, limit int) (entries []queue.Entry, err error) {
	var from []string
	switch state {
	case queue.Leased:
		for _, x := range s.hand.all() {
			e := x.item.entry(state)
			e.Due = x.leaseEnd()
			entries = append(entries, e)
		}
		return entries, nil
	case queue.Ready:
		if d, err := q.depth(ctx, s); err != nil || d.consumers > 0 {
			return nil, err
		}
		from = []string{s.names.main, s.names.alone}
	case queue.Delayed:
		for _, step := range q.steps {
			from = append(from, s.names.step(step))
		}
	case queue.Parked:
		from = []string{s.names.parked}
	case queue.Spilled:
		from = []string{s.names.spilled}
	}
	for _, name := range from {
		items, err := q.look(ctx, name, limit, state == queue.Ready)
		if err != nil {
			return nil, err
		}
		for i := range items {
			items[i].Topic = s.topic
			entries = append(entries, items[i].entry(state))
		}
	}
	return entries, nil
}

// look takes the first messages of a queue and gives them back.
func (q *Queue) look(ctx context.Context, name string, limit int, counted bool) (items []item, err error) {
	err = q.ask(ctx, func(ch *amqp.Channel) error {
		items = nil
		var last amqp.Delivery
		for len(items) < limit && ctx.Err() == nil {
			d, some, err := ch.Get(name, false)
			if err != nil {
				return err
			}
			if !some {
				break
			}
			last = d
			it := decode(&d, "")
			if it.cause == "" {
				it.cause = deadCause(d.Headers)
			}
			items = append(items, it)
			if counted {
				q.back.add(it.id)
			}
		}
		if len(items) == 0 {
			return ctx.Err()
		}
		if err := last.Nack(true, true); err != nil {
			return err
		}
		return awaitBack(ctx, ch, name, len(items))
	})
	return items, err
}

// awaitBack waits until the queue counts again what was given back, for a
// moment: somebody else may take it.
func awaitBack(ctx context.Context, ch *amqp.Channel, name string, n int) error {
	for range 100 {
		found, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		if err != nil || found.Messages >= n || found.Consumers > 0 {
			return err
		}
		wait(ctx, 10*time.Millisecond)
	}
	return nil
}

func (it *item) entry(state queue.State) queue.Entry {
	e := queue.Entry{Message: it.Message, State: state, Attempt: it.attempt, FirstSeen: it.first, Cause: it.cause}
	if state == queue.Delayed {
		e.Due = it.due
	}
	return e
}

func (x *settler) leaseEnd() time.Time {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.due
}

// deadCause explains what the broker itself set aside.
func deadCause(h amqp.Table) string {
	if deaths, ok := h["x-death"].([]any); ok && len(deaths) > 0 {
		if last, ok := deaths[0].(amqp.Table); ok && last["reason"] == "delivery_limit" {
			return "the broker gave up: it came back more often than its delivery limit allows, its consumers died"
		}
	}
	return ""
}

// Redrive implements queue.Queue.
func (q *Queue) Redrive(ctx context.Context, subscription string, keys ...string) (n int, err error) {
	s, err := q.sub(subscription)
	if err != nil {
		return 0, err
	}
	defer s.room.forget()
	for _, name := range []string{s.names.parked, s.names.spilled} {
		more, err := q.redrive(ctx, s, name, keys)
		n += more
		if err != nil {
			return n, fmt.Errorf("redrive %s: %w", subscription, err)
		}
	}
	return n, nil
}

// redrive goes through what is in the queue now, once: what does not match is
// given back at the end.
func (q *Queue) redrive(ctx context.Context, s *sub, name string, keys []string) (n int, err error) {
	err = q.ask(ctx, func(ch *amqp.Channel) error {
		var left *amqp.Delivery
		for {
			d, some, err := ch.Get(name, false)
			if err != nil {
				return err
			}
			if !some {
				break
			}
			it := decode(&d, s.topic)
			if len(keys) > 0 && !slices.Contains(keys, it.Key) {
				left = &d
				continue
			}
			it.attempt, it.crashes, it.cause, it.due, it.wait = 0, 0, "", time.Time{}, 0
			if err := q.copyTo(ctx, s.names.main, &it); err != nil {
				_ = ch.Nack(0, true, true) // everything that is in our hand
				return err
			}
			if err := d.Ack(false); err != nil {
				return err
			}
			n++
		}
		if left != nil {
			return ch.Nack(left.DeliveryTag, true, true)
		}
		return nil
	})
	return n, err
}
