package s3

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/s3/api"
	"github.com/colliehq/collie/retry"
)

// budget is how many requests may still be made. What is left of an hour's
// number grows evenly, up to that number.
type budget struct {
	now func() time.Time

	mu      sync.Mutex
	perHour float64
	left    float64
	at      time.Time
}

func newBudget(perHour int, now func() time.Time) *budget {
	return &budget{now: now, perHour: float64(perHour), left: float64(perHour), at: now()}
}

// set changes the number of an hour; what was spent stays spent.
func (b *budget) set(perHour int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grow()
	b.left = max(0, b.left-b.perHour+float64(perHour))
	b.perHour = float64(perHour)
}

// restore takes what was left at a time before a restart.
func (b *budget) restore(left float64, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !at.After(b.now()) {
		b.left, b.at = min(max(left, 0), b.perHour), at
	}
}

// grow adds what came since it was last asked. The mutex is held.
func (b *budget) grow() {
	now := b.now()
	if d := now.Sub(b.at); d > 0 {
		b.left = min(b.perHour, b.left+d.Hours()*b.perHour)
	}
	b.at = now
}

// remaining is how many requests are left, and when that was.
func (b *budget) remaining() (left float64, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grow()
	return b.left, b.at
}

// take spends one request; if there is none, wait says in what time there is.
func (b *budget) take() (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grow()
	if b.left >= 1 {
		b.left--
		return 0
	}
	return time.Duration((1 - b.left) / b.perHour * float64(time.Hour))
}

// budgeted reads pages within a budget, and again where it may help.
type budgeted struct {
	client *link
	budget *budget
	policy retry.Policy
	wait   bool        // for the budget; else a spent one is an error
	went   func(error) // told how each request went, nil for nobody
}

// How a page is asked for.
const (
	pageLimit   = 30 * time.Second
	maxAttempts = 8
)

func patient() retry.Policy {
	return retry.Policy{Base: 500 * time.Millisecond, Max: 15 * time.Second, Jitter: 0.5, MaxAttempts: maxAttempts}
}

// List reads one page.
func (b *budgeted) List(ctx context.Context, q api.Query, p *api.Page) error {
	return b.do(ctx, func(ctx context.Context) error { return b.client.List(ctx, q, p) })
}

// do makes one request, as often as needed.
func (b *budgeted) do(ctx context.Context, f func(ctx context.Context) error) error {
	return retry.Do(ctx, b.policy, func(ctx context.Context) error {
		if err := b.afford(ctx); err != nil {
			return retry.Stop(err)
		}
		limited, cancel := context.WithTimeout(ctx, pageLimit)
		defer cancel()
		err := f(limited)
		switch {
		case err == nil:
			b.tell(nil)
			return nil
		case ctx.Err() != nil:
			return retry.Stop(errors.Join(ctx.Err(), err))
		case !passing(err):
			return retry.Stop(err)
		}
		b.tell(err)
		return delayed(err)
	})
}

// tell says how the last request went.
func (b *budgeted) tell(err error) {
	if b.went != nil {
		b.went(err)
	}
}

// longestDelay bounds how long a server may tell us to wait.
const longestDelay = time.Minute

// delayed obeys a server that says when to come again, within bounds.
func delayed(err error) error {
	var refused *api.Error
	if errors.As(err, &refused) && refused.RetryAfter > 0 {
		return retry.After(min(refused.RetryAfter, longestDelay), err)
	}
	return err
}

// afford spends a request, and waits for one if it may.
func (b *budgeted) afford(ctx context.Context) error {
	for {
		d := b.budget.take()
		if d == 0 {
			return nil
		}
		if !b.wait {
			return errBudget
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
