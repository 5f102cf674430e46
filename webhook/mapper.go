package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
)

const (
	prefetch  = 64 // deliveries that are handled in one commit
	leaseTime = time.Minute
	// keepAlive is how often deliveries in hand are extended while the disk is full.
	keepAlive = leaseTime / 3
	lookEvery = 15 * time.Second // at how long deliveries wait
)

// Mapper turns deliveries into signals, in the order in which they were stored.
// It is a task.
type Mapper struct {
	w     *Webhook
	ready chan struct{}
	hand  atomic.Int64 // Unix nanoseconds of the oldest delivery in hand; 0 for none
}

func newMapper(w *Webhook) *Mapper { return &Mapper{w: w, ready: make(chan struct{})} }

// Name of the task.
func (m *Mapper) Name() string { return "webhook mapper" }

// Ready is closed once deliveries are handled.
func (m *Mapper) Ready() <-chan struct{} { return m.ready }

// Run handles deliveries until ctx ends.
func (m *Mapper) Run(ctx context.Context) error {
	in, err := m.w.queue.Consume(ctx, Subscription, queue.Options{Prefetch: prefetch, Lease: leaseTime, Exclusive: true})
	if err != nil {
		return fmt.Errorf("consume deliveries: %w", err)
	}
	var g errgroup.Group
	g.Go(func() error {
		m.look(ctx)
		return nil
	})
	// What comes while one batch is written is the next batch.
	waiting := make(chan queue.Delivery, prefetch)
	g.Go(func() error {
		defer close(waiting)
		for d := range in {
			waiting <- d
		}
		return nil
	})
	close(m.ready)
	for d := range waiting {
		m.batch(ctx, gather(d, waiting))
	}
	return g.Wait()
}

// gather takes what waits already.
func gather(first queue.Delivery, waiting <-chan queue.Delivery) []queue.Delivery {
	batch := []queue.Delivery{first}
	for len(batch) < prefetch {
		select {
		case d, ok := <-waiting:
			if !ok {
				return batch
			}
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// batch handles deliveries and settles them.
func (m *Mapper) batch(ctx context.Context, batch []queue.Delivery) {
	all := make([]*handling, len(batch))
	for i, d := range batch {
		all[i] = m.w.understand(d)
	}
	m.hand.Store(batch[0].FirstSeen.UnixNano())
	defer m.hand.Store(0)
	if !m.write(ctx, all) {
		return // we are stopping: the leases give them back
	}
	var settle errgroup.Group
	always := context.WithoutCancel(ctx)
	for _, h := range all {
		m.w.metrics.handled.WithLabelValues(h.outcome).Inc()
		if h.parked != nil {
			m.w.log.Warn("delivery parked", "delivery", h.Key, "hook", h.Headers[headerHook], "err", h.parked)
		}
		settle.Go(func() error {
			if h.parked != nil {
				return h.Park(always, h.parked)
			}
			return h.Ack(always)
		})
	}
	// A delivery that is not settled comes again, and is known then.
	if err := settle.Wait(); err != nil && !errors.Is(err, queue.ErrLost) {
		m.w.log.Warn("delivery not settled", "err", err)
	}
}

// write makes what the deliveries mean durable, however often that takes, or
// until ctx ends: while the disk is full, giving them back would need room too.
func (m *Mapper) write(ctx context.Context, all []*handling) bool {
	wait, extended := 100*time.Millisecond, time.Now()
	for attempt := 1; ; attempt++ {
		err := m.w.store.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error { return m.w.writeAll(tx, all) })
		if err == nil {
			return true
		}
		if attempt == 1 {
			m.w.log.Warn("deliveries not handled, trying again", "deliveries", len(all), "err", err)
		}
		if !sleep(ctx, wait) {
			return false
		}
		wait = min(2*wait, 5*time.Second)
		if time.Since(extended) > keepAlive {
			extended = time.Now()
			for _, h := range all {
				_ = h.Extend(ctx, leaseTime) // lost: it comes again and is known then
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// look measures how long the oldest delivery waits.
func (m *Mapper) look(ctx context.Context) {
	for {
		stats, err := m.w.queue.Stats(ctx)
		if err != nil && ctx.Err() == nil {
			m.w.log.Warn("spool of deliveries cannot be looked at", "err", err)
		}
		for _, s := range stats {
			if s.Name == Subscription {
				m.w.metrics.oldest.Set(max(age(s.OldestReady, m.w.now()), m.inHand()))
			}
		}
		if !sleep(ctx, lookEvery) {
			return
		}
	}
}

// inHand is how long the oldest delivery waits that cannot be written.
func (m *Mapper) inHand() float64 {
	if at := m.hand.Load(); at != 0 {
		return age(time.Unix(0, at), m.w.now())
	}
	return 0
}

func age(oldest, now time.Time) float64 {
	if oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(oldest).Seconds())
}
