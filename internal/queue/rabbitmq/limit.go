package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// lookAgain is how long a publisher trusts what it saw of a depth.
const lookAgain = time.Second

// room is how many messages a subscription can still take, as seen lately.
type room struct {
	mu   sync.Mutex
	left int
	seen time.Time
}

func (r *room) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = 0
}

// take takes n places if there are as many for sure.
func (r *room) take(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < n || time.Since(r.seen) > lookAgain {
		return false
	}
	r.left -= n
	return true
}

func (r *room) set(left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.seen = left, time.Now()
}

// makeRoom sees to it that every reader of the topic can take n messages: one
// that refuses is asked first, then the others set aside what is oldest.
func (q *Queue) makeRoom(ctx context.Context, topic string, n int) error {
	var spill []*sub
	for _, s := range q.readers(topic) {
		switch {
		case s.room.take(n):
		case q.specOf(s).OnFull == queue.Spill:
			spill = append(spill, s)
		default:
			if err := q.reserve(ctx, s, n); err != nil {
				return err
			}
		}
	}
	for _, s := range spill {
		if err := q.spill(ctx, s, n); err != nil {
			return fmt.Errorf("set aside the oldest messages of %s: %w", s.name, err)
		}
	}
	return nil
}

// looks is how often a subscription is looked at before it is full: what just
// moves into a consumer's hand is seen twice for a moment.
const looks = 4

// reserve looks at the depth of a subscription that refuses.
func (q *Queue) reserve(ctx context.Context, s *sub, n int) error {
	holds := 0
	for look := range looks {
		d, err := q.depth(ctx, s)
		if err != nil {
			return err
		}
		s.room.set(q.specOf(s).Limit - d.waiting())
		if s.room.take(n) {
			return nil
		}
		holds = d.waiting()
		wait(ctx, time.Duration(look)*20*time.Millisecond)
	}
	return fmt.Errorf("%w: subscription %s holds %d messages", queue.ErrFull, s.name, holds)
}

// spill sets aside as many of the oldest messages as the limit asks for. What
// was set aside is bounded too: the oldest of it is dropped.
func (q *Queue) spill(ctx context.Context, s *sub, n int) error {
	d, err := q.depth(ctx, s)
	if err != nil {
		return err
	}
	limit := q.specOf(s).Limit
	over := min(n, d.waiting()+n-limit) // one for one: what was redriven stays
	for range over {
		moved, err := q.moveOldest(ctx, s)
		if err != nil {
			return err
		}
		if !moved {
			break
		}
		s.n.spilled.Add(1)
	}
	if over > 0 {
		if err := q.boundSpilled(ctx, s, limit); err != nil {
			return err
		}
	}
	s.room.set(limit - d.waiting() - n + max(0, over))
	return nil
}

// boundSpilled drops the oldest of what was set aside above the limit.
func (q *Queue) boundSpilled(ctx context.Context, s *sub, limit int) error {
	d, err := q.depth(ctx, s)
	if err != nil {
		return err
	}
	for tries := 2 * max(0, d.spilled-limit); d.spilled > limit && tries > 0; tries-- {
		taken, err := q.takeOne(ctx, s.names.spilled, nil)
		switch {
		case err != nil:
			return err
		case !taken: // somebody looks at it just now
			wait(ctx, 10*time.Millisecond)
			continue
		}
		d.spilled--
		s.n.dropped.Add(1)
	}
	return nil
}

// moveOldest sets the oldest message aside that nobody holds, or of the delayed
// ones the one that is due first.
func (q *Queue) moveOldest(ctx context.Context, s *sub) (moved bool, err error) {
	from := []string{s.names.main, s.names.alone}
	for _, step := range q.steps {
		from = append(from, s.names.step(step))
	}
	for _, name := range from {
		moved, err = q.takeOne(ctx, name, func(it *item) error {
			it.due, it.wait = time.Time{}, 0
			return q.copyTo(ctx, s.names.spilled, it)
		})
		if moved || err != nil {
			return moved, err
		}
	}
	return false, nil
}

// takeOne takes the first message of a queue, once f, if any, has put it
// elsewhere.
func (q *Queue) takeOne(ctx context.Context, name string, f func(*item) error) (taken bool, err error) {
	err = q.ask(ctx, func(ch *amqp.Channel) error {
		d, some, err := ch.Get(name, false)
		if err != nil || !some {
			return err
		}
		if f != nil {
			it := decode(&d, "")
			if err := f(&it); err != nil {
				_ = d.Nack(false, true) // if the channel is gone it goes back by itself
				return err
			}
		}
		taken = true
		return d.Ack(false)
	})
	return taken, err
}

// depth is where the messages of a subscription stand.
type depth struct{ main, alone, delayed, leased, parked, spilled, consumers int }

func (d depth) waiting() int { return d.main + d.alone + d.delayed + d.leased }

func (q *Queue) depth(ctx context.Context, s *sub) (d depth, err error) {
	err = q.ask(ctx, func(ch *amqp.Channel) error {
		d = depth{}
		count := func(name string, into *int) error {
			found, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil {
				return fmt.Errorf("count the messages of %s: %w", name, err)
			}
			*into += found.Messages
			if name == s.names.main {
				d.consumers = found.Consumers
			}
			return nil
		}
		for name, into := range map[string]*int{
			s.names.main: &d.main, s.names.alone: &d.alone, s.names.parked: &d.parked, s.names.spilled: &d.spilled,
		} {
			if err := count(name, into); err != nil {
				return err
			}
		}
		for _, step := range q.steps {
			if err := count(s.names.step(step), &d.delayed); err != nil {
				return err
			}
		}
		return nil
	})
	d.leased = s.hand.leased()
	return d, err
}
