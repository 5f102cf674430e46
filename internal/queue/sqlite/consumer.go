package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/rows"
	"github.com/colliehq/collie/internal/store"
)

const (
	// longestSleep bounds a wait: whatever happens to clocks and timers, a
	// consumer looks again after this.
	longestSleep = 30 * time.Second
	// afterError is the pause after the store refused.
	afterError = 500 * time.Millisecond
)

// consumer takes messages of one subscription ahead of its user, by at most
// opts.Prefetch.
type consumer struct {
	q    *Queue
	sub  *rows.Sub
	opts queue.Options
	out  chan queue.Delivery
	left bool // guarded by q.mu

	settled chan struct{} // a place in the hand is free

	mu   sync.Mutex
	hand map[rows.Lease]time.Time // what the user holds, and when its lease ends
}

func newConsumer(q *Queue, sub *rows.Sub, opts queue.Options) *consumer {
	if opts.Prefetch <= 0 {
		opts.Prefetch = 1
	}
	if opts.Lease <= 0 {
		opts.Lease = time.Minute
	}
	return &consumer{
		q: q, sub: sub, opts: opts, out: make(chan queue.Delivery),
		settled: make(chan struct{}, 1), hand: map[rows.Lease]time.Time{},
	}
}

func (c *consumer) run(ctx context.Context) {
	wake, stop := c.sub.Listen()
	defer stop()
	defer close(c.out)
	defer c.q.leave(c)
	for ctx.Err() == nil {
		taken, pause, err := c.take(ctx)
		switch {
		case errors.Is(err, queue.ErrClosed):
			return
		case err != nil && ctx.Err() == nil:
			c.q.log.Warn("queue cannot be read, trying again", "subscription", c.sub.Spec().Name, "err", err)
			pause = afterError
		}
		if len(taken) > 0 {
			c.deliver(ctx, taken)
			continue
		}
		c.sleep(ctx, wake, pause)
	}
}

// take leases what fits into the hand. With nothing to take it says how long
// nothing will be due.
func (c *consumer) take(ctx context.Context) (taken []rows.Taken, pause time.Duration, err error) {
	pause = longestSleep
	held, free := c.room()
	if free < (c.opts.Prefetch+1)/2 || !c.q.turn(c) || c.sub.Idle() {
		return nil, min(pause, held), nil
	}
	want := rows.Want{Max: free, Held: c.opts.Prefetch - free, Lease: c.opts.Lease, Ordered: c.opts.Exclusive}
	err = c.q.store.Tx(ctx, func(tx *store.Tx) error {
		taken, err = c.q.book.Take(tx, c.sub, want)
		if err != nil || len(taken) > 0 {
			return err
		}
		next, some, err := c.q.book.NextDue(tx, c.sub)
		if some {
			pause = min(pause, next)
		}
		return err
	})
	if errors.Is(err, queue.ErrUnknown) && len(taken) > 0 {
		c.release(taken) // they may be leased, to nobody
	}
	if err != nil {
		return nil, 0, err
	}
	return taken, min(pause, held), nil
}

// room says how many places in the hand are free, and when the next one is at
// the latest because its lease ends.
func (c *consumer) room() (next time.Duration, free int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = longestSleep
	for l, end := range c.hand {
		left := time.Until(end)
		if left <= 0 {
			delete(c.hand, l)
			continue
		}
		next = min(next, left)
	}
	return next, c.opts.Prefetch - len(c.hand)
}

func (c *consumer) inHand() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.hand)
}

func (c *consumer) sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-c.settled:
	case <-t.C:
	}
}

// deliver hands over what was taken, and gives back what the user does not
// want any more.
func (c *consumer) deliver(ctx context.Context, taken []rows.Taken) {
	begin := time.Now()
	t := time.NewTicker(c.opts.Lease / 2)
	defer t.Stop()
	for i := 0; i < len(taken); {
		if ctx.Err() != nil { // even if somebody still receives
			c.release(taken[i:])
			return
		}
		d := c.delivery(taken[i])
		lease := rows.Lease{ID: taken[i].ID, Token: taken[i].Token}
		c.hold(lease, begin.Add(c.opts.Lease))
		select {
		case c.out <- d:
			i++
		case <-ctx.Done():
			c.drop(lease)
		case <-t.C: // the user is slow to receive: that is no lost lease
			begin = time.Now()
			c.renew(taken[i:])
		}
	}
}

func (c *consumer) renew(taken []rows.Taken) {
	err := c.q.store.Tx(context.Background(), func(tx *store.Tx) error {
		for _, t := range taken {
			err := c.q.book.Extend(tx, c.sub, rows.Lease{ID: t.ID, Token: t.Token}, c.opts.Lease)
			if err != nil && !errors.Is(err, queue.ErrLost) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.q.log.Warn("leases were not renewed", "subscription", c.sub.Spec().Name, "err", err)
	}
}

func (c *consumer) release(taken []rows.Taken) {
	leases := make([]rows.Lease, len(taken))
	for i, t := range taken {
		leases[i] = rows.Lease{ID: t.ID, Token: t.Token}
	}
	give := func(tx *store.Tx) error { return c.q.book.Release(tx, c.sub, leases...) }
	err := c.q.store.Tx(context.Background(), give)
	for range unknownAttempts {
		if !errors.Is(err, queue.ErrUnknown) {
			break
		}
		err = c.q.store.Tx(context.Background(), give) // twice does no harm
	}
	if err != nil {
		c.q.log.Warn("messages were not given back, they come again when their lease ends", "subscription", c.sub.Spec().Name, "err", err)
	}
}

// giveBack returns what the user never settled, when the queue closes.
func (c *consumer) giveBack(sub *rows.Sub) error {
	c.mu.Lock()
	leases := make([]rows.Lease, 0, len(c.hand))
	for l := range c.hand {
		leases = append(leases, l)
	}
	c.mu.Unlock()
	if len(leases) == 0 {
		return nil
	}
	return c.q.store.Tx(context.Background(), func(tx *store.Tx) error { return c.q.book.Release(tx, sub, leases...) })
}

func (c *consumer) hold(l rows.Lease, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hand[l] = until
}

func (c *consumer) drop(l rows.Lease) {
	c.mu.Lock()
	delete(c.hand, l)
	c.mu.Unlock()
	select {
	case c.settled <- struct{}{}:
	default:
	}
	if c.q.hasLeft(c) {
		c.sub.Notify() // the next exclusive consumer may wait for it
	}
}
