package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// consumer holds at most opts.Prefetch deliveries.
type consumer struct {
	q    *Queue
	sub  *sub
	opts queue.Options
	out  chan queue.Delivery
	look chan struct{}
}

// Consume implements queue.Queue.
func (q *Queue) Consume(ctx context.Context, subscription string, opts queue.Options) (<-chan queue.Delivery, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.sub(subscription)
	if err != nil {
		return nil, err
	}
	if opts.Prefetch <= 0 {
		opts.Prefetch = 1
	}
	if opts.Lease <= 0 {
		opts.Lease = time.Minute
	}
	c := &consumer{q: q, sub: s, opts: opts, out: make(chan queue.Delivery), look: make(chan struct{}, 1)}
	s.consumers = append(s.consumers, c)
	q.wg.Go(func() { c.run(ctx) })
	return c.out, nil
}

func (c *consumer) wake() {
	select {
	case c.look <- struct{}{}:
	default:
	}
}

func (c *consumer) run(ctx context.Context) {
	defer close(c.out)
	defer c.leave()
	hand := map[uint64]*item{}
	for ctx.Err() == nil && !c.q.stopped() {
		d, pause, ok := c.take(hand)
		if ok {
			c.offer(ctx, d)
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-c.q.stop:
		case <-c.look:
		case <-t.C:
		}
		t.Stop()
	}
}

// offer hands a delivery over, or gives it back if nobody wants it any more.
func (c *consumer) offer(ctx context.Context, d queue.Delivery) {
	t := time.NewTicker(max(c.opts.Lease/2, 1))
	defer t.Stop()
	for {
		if ctx.Err() != nil { // even if somebody still receives
			c.giveBack(d)
			return
		}
		select {
		case c.out <- d:
			return
		case <-ctx.Done():
		case <-c.q.stop:
			return
		case <-t.C: // the user is slow to receive: that is no lost lease
			_ = d.Extend(ctx, c.opts.Lease) // if it is lost, settling says so
		}
	}
}

func (q *Queue) stopped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (c *consumer) leave() {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	c.sub.consumers = slices.DeleteFunc(c.sub.consumers, func(o *consumer) bool { return o == c })
	c.sub.wake()
}

// take leases the next message, or says how long nothing will be due.
func (c *consumer) take(hand map[uint64]*item) (d queue.Delivery, pause time.Duration, ok bool) {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	now := time.Now()
	c.sub.promote(now)
	maps.DeleteFunc(hand, func(token uint64, it *item) bool { return it.token != token })
	it := c.sub.oldest(queue.Ready)
	blocked := it == nil || len(hand) >= c.opts.Prefetch || !c.turn() || (len(hand) > 0 && (it.crashes > 0 || single(hand))) ||
		c.opts.Exclusive && c.sub.passes(it, hand)
	if blocked || c.q.closed {
		return d, c.sub.nextDue(now), false
	}
	c.q.token++
	it.token = c.q.token
	it.state, it.due = queue.Leased, now.Add(c.opts.Lease)
	it.attempt++
	hand[it.token] = it
	return c.delivery(it), 0, true
}

// passes reports that a message would be delivered before one that comes again,
// or that an earlier consumer has not settled.
func (s *sub) passes(it *item, hand map[uint64]*item) bool {
	for _, o := range s.items {
		if o.number < it.number && o.state == queue.Delayed && o.back || o.state == queue.Leased && hand[o.token] == nil {
			return true
		}
	}
	return false
}

// single reports a hand with a message whose lease was lost before: it is
// delivered alone, so that one that kills its consumer takes no others along.
func single(hand map[uint64]*item) bool {
	for _, it := range hand {
		if it.crashes > 0 {
			return true
		}
	}
	return false
}

// turn reports whether the consumer may take: an exclusive one is alone, in
// order of arrival.
func (c *consumer) turn() bool {
	for _, o := range c.sub.consumers {
		if o == c {
			return true
		}
		if o.opts.Exclusive || c.opts.Exclusive {
			return false
		}
	}
	return false
}

// giveBack returns a delivery that nobody received.
func (c *consumer) giveBack(d queue.Delivery) {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	s, ok := d.Settler.(*settler)
	if !ok || s.it.token != s.token {
		return
	}
	s.it.state, s.it.due, s.it.token = queue.Ready, time.Time{}, 0
	s.it.attempt--
	c.sub.wake()
}

// promote makes ready what is due, and takes back the leases that ran out.
func (s *sub) promote(now time.Time) {
	for _, it := range s.items {
		if it.due.After(now) {
			continue
		}
		switch it.state {
		case queue.Ready, queue.Parked, queue.Spilled: // nothing is due
		case queue.Delayed:
			it.state, it.due = queue.Ready, time.Time{}
		case queue.Leased:
			s.crashed(it, now)
		}
	}
}

func (s *sub) crashed(it *item, now time.Time) {
	it.crashes++
	it.token = 0
	it.cause = fmt.Sprintf("lease lost %d times: its consumer died or took too long", it.crashes)
	it.state, it.due = queue.Ready, time.Time{}
	if s.spec.CrashLimit < 0 {
		it.crashes = 0
	}
	switch wait := crashDelay(it.crashes); {
	case s.spec.CrashLimit > 0 && it.crashes >= s.spec.CrashLimit:
		it.state = queue.Parked
	case wait > 0:
		it.state, it.due, it.back = queue.Delayed, now.Add(wait), true
	}
}

// crashDelay is none the first time, then grows fourfold from a second.
func crashDelay(crashes int) time.Duration {
	if crashes < 2 {
		return 0
	}
	return min(time.Second<<(2*min(crashes-2, 16)), time.Hour)
}

func (s *sub) nextDue(now time.Time) time.Duration {
	next := time.Hour
	for _, it := range s.items {
		if it.state == queue.Delayed || it.state == queue.Leased {
			next = min(next, it.due.Sub(now))
		}
	}
	return max(next, 0)
}

func (c *consumer) delivery(it *item) queue.Delivery {
	m := it.Message
	m.Headers = maps.Clone(m.Headers)
	m.Body = slices.Clone(m.Body)
	return queue.Delivery{
		Message: m, Subscription: c.sub.spec.Name, Attempt: it.attempt, FirstSeen: it.first,
		Settler: &settler{q: c.q, sub: c.sub, it: it, token: it.token},
	}
}

// settler answers for one delivery.
type settler struct {
	q     *Queue
	sub   *sub
	it    *item
	token uint64
}

// Ack implements queue.Settler.
func (s *settler) Ack(context.Context) error {
	return s.settle(func() {
		s.it.token = 0
		s.sub.remove(s.it)
	})
}

// RetryAfter implements queue.Settler.
func (s *settler) RetryAfter(_ context.Context, d time.Duration, cause error) error {
	verdict, _ := retry.Judge(cause)
	return s.settle(func() {
		it := s.it
		it.token, it.crashes, it.cause = 0, 0, text(cause)
		it.state, it.due = queue.Ready, time.Time{}
		if d > 0 {
			it.state, it.due, it.back = queue.Delayed, time.Now().Add(d), true
		}
		if verdict == retry.Wait {
			it.attempt--
		}
	})
}

// Park implements queue.Settler.
func (s *settler) Park(_ context.Context, cause error) error {
	return s.settle(func() {
		s.it.token, s.it.cause = 0, text(cause)
		s.it.state, s.it.due = queue.Parked, time.Time{}
	})
}

// Extend implements queue.Settler.
func (s *settler) Extend(_ context.Context, d time.Duration) error {
	return s.settle(func() { s.it.due = time.Now().Add(d) })
}

func (s *settler) settle(f func()) error {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	if s.q.closed {
		return queue.ErrClosed
	}
	if s.it.token != s.token {
		return queue.ErrLost
	}
	f()
	s.sub.wake()
	return nil
}

func text(cause error) string {
	if cause == nil {
		return ""
	}
	return cause.Error()
}
