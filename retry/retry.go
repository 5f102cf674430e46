// Package retry says when to try again, as arithmetic: a policy turns an
// attempt and a time into the time of the next attempt, and an error says
// whether another attempt is worth it. Nothing here sleeps but Do.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Policy is a ladder of delays with full jitter. The zero value retries at
// once and for ever; fields that are zero set no bound.
type Policy struct {
	Base        time.Duration // delay after the first attempt
	Max         time.Duration // no delay is longer, jitter included
	Factor      float64       // growth from one delay to the next; below 1 means 2
	Jitter      float64       // share of a delay that is random, 0 to 1
	MaxAttempts int           // attempts in total, the first included
	MaxElapsed  time.Duration // no attempt begins later than this after the first
}

// Delay is the wait after the attempt (counted from 1), for a random number r
// in [0,1). It never overflows, whatever the attempt.
func (p Policy) Delay(attempt int, r float64) time.Duration {
	factor := p.Factor
	if factor < 1 {
		factor = 2
	}
	limit := p.Max
	if limit <= 0 {
		limit = math.MaxInt64
	}
	d := float64(p.Base) * math.Pow(factor, float64(max(attempt, 1)-1))
	if !(d < float64(limit)) { // also when d is +Inf
		d = float64(limit)
	}
	jitter := min(max(p.Jitter, 0), 1)
	d -= d * jitter * r
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}

// Next says when the attempt after this one is due, and false if the policy
// allows no more. attempt counts from 1, first is when it all began.
func (p Policy) Next(attempt int, first, now time.Time) (time.Time, bool) {
	return p.next(attempt, first, now, p.Delay(attempt, rand.Float64()))
}

func (p Policy) next(attempt int, first, now time.Time, d time.Duration) (time.Time, bool) {
	if p.MaxAttempts > 0 && attempt >= p.MaxAttempts {
		return time.Time{}, false
	}
	due := now.Add(d)
	if p.MaxElapsed > 0 && due.Sub(first) > p.MaxElapsed {
		return time.Time{}, false
	}
	return due, true
}

// Stop marks cause as not worth another attempt. Stop(nil) is nil.
func Stop(cause error) error {
	if cause == nil {
		return nil
	}
	return &stopError{cause}
}

// After marks cause as worth another attempt once d has passed, without
// spending one: the other side asked for patience. After(d, nil) is nil.
func After(d time.Duration, cause error) error {
	if cause == nil {
		return nil
	}
	return &afterError{max(d, 0), cause}
}

type stopError struct{ cause error }

func (e *stopError) Error() string { return e.cause.Error() }
func (e *stopError) Unwrap() error { return e.cause }

type afterError struct {
	d     time.Duration
	cause error
}

func (e *afterError) Error() string { return e.cause.Error() }
func (e *afterError) Unwrap() error { return e.cause }

// Verdict is what an error asks for.
type Verdict int

// The verdicts on an error.
const (
	Done  Verdict = iota // nil: nothing is left to do
	Again                // worth another attempt
	Wait                 // worth another attempt after a delay, none is spent
	Halt                 // not worth another attempt
)

// Judge says what err asks for, and the delay that goes with Wait. A
// cancelled context is Halt: who cancelled does not want another attempt.
func Judge(err error) (Verdict, time.Duration) {
	var stop *stopError
	var after *afterError
	switch {
	case err == nil:
		return Done, 0
	case errors.As(err, &stop), errors.Is(err, context.Canceled):
		return Halt, 0
	case errors.As(err, &after):
		return Wait, after.d
	}
	return Again, 0
}

// Do calls f until it succeeds, stops, or the policy or the context ends it.
// The error is the last one of f, so that the cause is never hidden behind
// "gave up".
func Do(ctx context.Context, p Policy, f func(ctx context.Context) error) error {
	first := time.Now()
	for attempt := 1; ; {
		err := f(ctx)
		verdict, d := Judge(err)
		var due time.Time
		switch verdict {
		case Done:
			return nil
		case Halt:
			return err
		case Wait:
			due = time.Now().Add(d)
		case Again:
			next, more := p.Next(attempt, first, time.Now())
			if !more {
				return fmt.Errorf("after %d attempts: %w", attempt, err)
			}
			due = next
			attempt++
		}
		if !sleep(ctx, time.Until(due)) {
			return errors.Join(err, context.Cause(ctx))
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
		return ctx.Err() == nil
	}
}
