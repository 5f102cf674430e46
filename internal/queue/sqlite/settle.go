package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/rows"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/retry"
)

func (c *consumer) delivery(t rows.Taken) queue.Delivery {
	return queue.Delivery{
		Message: t.Message, Subscription: c.sub.Spec().Name, Attempt: t.Attempt, FirstSeen: t.FirstSeen,
		Settler: &settler{c: c, lease: rows.Lease{ID: t.ID, Token: t.Token}},
	}
}

// settler answers for one delivery.
type settler struct {
	c     *consumer
	lease rows.Lease
}

// Ack implements queue.Settler.
func (s *settler) Ack(ctx context.Context) error {
	return s.settle(ctx, func(tx *store.Tx) error { return s.c.q.book.Ack(tx, s.c.sub, s.lease) })
}

// RetryAfter implements queue.Settler.
func (s *settler) RetryAfter(ctx context.Context, d time.Duration, cause error) error {
	verdict, _ := retry.Judge(cause)
	return s.settle(ctx, func(tx *store.Tx) error {
		return s.c.q.book.Retry(tx, s.c.sub, s.lease, d, verdict != retry.Wait, text(cause))
	})
}

// Park implements queue.Settler.
func (s *settler) Park(ctx context.Context, cause error) error {
	return s.settle(ctx, func(tx *store.Tx) error { return s.c.q.book.Park(tx, s.c.sub, s.lease, text(cause)) })
}

// Extend implements queue.Settler.
func (s *settler) Extend(ctx context.Context, d time.Duration) error {
	err := s.c.q.tx(ctx, func(tx *store.Tx) error { return s.c.q.book.Extend(tx, s.c.sub, s.lease, d) })
	if err == nil {
		s.c.hold(s.lease, time.Now().Add(d))
	}
	return err
}

// settle frees the place in the hand once it is settled, or lost. If the disk
// failed meanwhile it asks again; a lease that is gone by then was settled the
// first time.
func (s *settler) settle(ctx context.Context, f func(*store.Tx) error) error {
	err := s.c.q.tx(ctx, f)
	for range unknownAttempts {
		if !errors.Is(err, queue.ErrUnknown) {
			break
		}
		if err = s.c.q.tx(ctx, f); errors.Is(err, queue.ErrLost) {
			err = nil
		}
	}
	if err == nil || errors.Is(err, queue.ErrLost) {
		s.c.drop(s.lease)
	}
	return err
}

// unknownAttempts is how often a settlement of unknown outcome is repeated.
const unknownAttempts = 3

func text(cause error) string {
	if cause == nil {
		return ""
	}
	return cause.Error()
}
