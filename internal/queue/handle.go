package queue

import (
	"context"
	"errors"
	"time"

	"github.com/colliehq/collie/retry"
)

// Handle consumes until ctx ends and settles each delivery by what f answers:
// nil acknowledges, an error asks for another attempt as the policy says,
// retry.After waits as long as asked, and retry.Stop, or a policy that allows
// no more, parks. report, which may be nil, is told of every error, those of
// settling included. Deliveries are handled one after the other.
func Handle(ctx context.Context, q Queue, subscription string, opts Options, policy retry.Policy,
	f func(context.Context, Delivery) error, report func(Delivery, error),
) error {
	deliveries, err := q.Consume(ctx, subscription, opts)
	if err != nil {
		return err
	}
	if report == nil {
		report = func(Delivery, error) {}
	}
	for d := range deliveries {
		cause := f(ctx, d)
		if cause != nil {
			report(d, cause)
		}
		if ctx.Err() != nil && cause != nil {
			continue // we are stopping: the lease gives it back
		}
		if err := settleUntilKept(ctx, d, policy, cause, report); err != nil {
			report(d, err)
		}
	}
	return nil
}

// settleUntilKept settles, on a disk or over a network that refuses again and
// again, until the lease is lost or ctx ends: giving up would count as a lost
// lease.
func settleUntilKept(ctx context.Context, d Delivery, policy retry.Policy, cause error, report func(Delivery, error)) error {
	pauses := retry.Policy{Base: 50 * time.Millisecond, Max: 5 * time.Second}
	for attempt := 1; ; attempt++ {
		err := settle(context.WithoutCancel(ctx), d, policy, cause)
		if err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrClosed) {
			return err
		}
		t := time.NewTimer(pauses.Delay(attempt, 0))
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
		if attempt == 1 {
			report(d, err)
		}
	}
}

func settle(ctx context.Context, d Delivery, policy retry.Policy, cause error) error {
	verdict, wait := retry.Judge(cause)
	switch verdict {
	case retry.Again: // below
	case retry.Done:
		return d.Ack(ctx)
	case retry.Wait:
		return d.RetryAfter(ctx, wait, cause)
	case retry.Halt:
		return d.Park(ctx, cause)
	}
	now := time.Now()
	due, more := policy.Next(d.Attempt, d.FirstSeen, now)
	if !more {
		return d.Park(ctx, cause)
	}
	return d.RetryAfter(ctx, due.Sub(now), cause)
}
