package rabbitmq

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// settler answers for one delivery.
type settler struct {
	s    *session
	d    amqp.Delivery
	item item
	due  time.Time // end of the lease, for those who look

	op sync.Mutex // one settlement at a time

	// Guarded by the session's lock.
	done  bool
	lease *time.Timer
}

func (s *session) newSettler(d amqp.Delivery, it item) *settler {
	if it.attempt++; it.attempt > 1 {
		s.c.sub.n.redelivered.Add(1)
	}
	x := &settler{s: s, d: d, item: it, due: time.Now().Add(s.c.opts.Lease)}
	s.c.sub.hand.add(x)
	return x
}

func (x *settler) delivery() queue.Delivery {
	return queue.Delivery{
		Message: x.item.Message, Subscription: x.s.c.sub.name, Attempt: x.item.attempt, FirstSeen: x.item.first, Settler: x,
	}
}

// Ack implements queue.Settler.
func (x *settler) Ack(context.Context) error {
	return x.settle(func() error { return nil })
}

// RetryAfter implements queue.Settler. The copy is stored before the original
// is acknowledged.
func (x *settler) RetryAfter(ctx context.Context, d time.Duration, cause error) error {
	verdict, _ := retry.Judge(cause)
	return x.settle(func() error {
		it := x.item
		it.crashes, it.cause, it.due, it.wait = 0, short(textOf(cause)), time.Time{}, 0
		if verdict == retry.Wait {
			it.attempt--
		}
		to := x.s.c.sub.names.main
		if d > 0 {
			it.due = time.Now().Add(d)
			to = x.s.c.sub.names.step(x.s.c.q.climb(&it, d))
		}
		return x.s.c.q.copyTo(ctx, to, &it)
	})
}

// Park implements queue.Settler.
func (x *settler) Park(ctx context.Context, cause error) error {
	return x.settle(func() error {
		it := x.item
		it.cause = short(textOf(cause))
		if err := x.s.c.q.copyTo(ctx, x.s.c.sub.names.parked, &it); err != nil {
			return err
		}
		x.s.c.sub.n.parked.Add(1)
		return nil
	})
}

// Extend implements queue.Settler. The broker has no lease: a message is ours
// while the connection lives, up to its consumer timeout (30 minutes unless
// configured).
func (x *settler) Extend(_ context.Context, d time.Duration) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	switch {
	case x.s.c.q.isClosed():
		return queue.ErrClosed
	case x.done || x.s.ch.IsClosed():
		return queue.ErrLost
	}
	x.due = time.Now().Add(d)
	if x.lease != nil {
		x.lease.Reset(d)
	}
	return nil
}

// settle does what comes before the acknowledgement, and acknowledges.
func (x *settler) settle(before func() error) error {
	x.op.Lock()
	defer x.op.Unlock()
	if x.s.c.q.isClosed() {
		return queue.ErrClosed
	}
	if x.isDone() {
		return queue.ErrLost
	}
	if x.s.ch.IsClosed() {
		x.finish()
		return queue.ErrLost
	}
	if err := before(); err != nil {
		return err
	}
	x.s.c.q.back.forget(x.item.id)
	x.finish()
	if err := x.d.Ack(false); err != nil {
		return queue.ErrLost // it comes again
	}
	return nil
}

func (x *settler) isDone() bool {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.done
}

// finish takes it out of the hand.
func (x *settler) finish() {
	x.s.mu.Lock()
	x.done = true
	delete(x.s.handed, x)
	if len(x.s.handed) == 0 {
		x.s.single = false
	}
	if x.lease != nil {
		x.lease.Stop()
	}
	x.s.mu.Unlock()
	x.s.c.sub.hand.remove(x)
	select {
	case x.s.settled <- struct{}{}:
	default:
	}
}

// expire gives it back because nobody settled it in time: the broker counts
// that, and so shall who gets it next.
func (x *settler) expire() {
	x.op.Lock()
	defer x.op.Unlock()
	if x.isDone() {
		return
	}
	_ = x.d.Nack(false, true) // if the channel is gone it goes back by itself
	x.finish()
}

// giveBack returns what the user never saw: for this process that was no
// attempt.
func (x *settler) giveBack() {
	x.op.Lock()
	defer x.op.Unlock()
	if x.isDone() {
		return
	}
	x.s.c.q.back.add(x.item.id)
	_ = x.d.Nack(false, true) // if the channel is gone it goes back by itself
	x.finish()
}

// lose forgets it: its connection is gone.
func (x *settler) lose() { x.finish() }

func textOf(cause error) string {
	if cause == nil {
		return ""
	}
	return cause.Error()
}

// hand is what the consumers of this process hold of a subscription, handed
// over or not yet.
type hand struct {
	mu   sync.Mutex
	held map[*settler]bool
}

func (h *hand) add(x *settler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[*settler]bool{}
	}
	h.held[x] = true
}

func (h *hand) remove(x *settler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, x)
}

func (h *hand) leased() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

func (h *hand) all() (held []*settler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for x := range h.held {
		held = append(held, x)
	}
	return held
}

// returned remembers what this process gave back to the broker without an
// attempt, for the broker counts that too.
type returned struct {
	mu   sync.Mutex
	seen map[string]int // by id
}

// maxReturned bounds the memory. What is forgotten counts one attempt more.
const maxReturned = 20_000

func (r *returned) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) >= maxReturned {
		clear(r.seen)
	}
	r.seen[id]++
}

func (r *returned) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, id)
}

func (r *returned) count(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[id]
}
