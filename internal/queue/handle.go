package queue

import (
	"context"
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
		if err := settle(context.WithoutCancel(ctx), d, policy, cause); err != nil {
			report(d, err)
		}
	}
	return nil
}

func settle(ctx context.Context, d Delivery, policy retry.Policy, cause error) error {
	verdict, wait := retry.Judge(cause)
	switch verdict {
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
