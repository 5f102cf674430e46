package retry_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/colliehq/collie/retry"
)

var errBroken = errors.New("broken")

func TestDelay(t *testing.T) {
	p := retry.Policy{Base: time.Second, Max: 10 * time.Second, Jitter: 0.5}
	tests := []struct {
		attempt int
		r       float64
		want    time.Duration
	}{
		{0, 0, time.Second}, {1, 0, time.Second}, {2, 0, 2 * time.Second}, {4, 0, 8 * time.Second},
		{5, 0, 10 * time.Second}, {math.MaxInt, 0, 10 * time.Second},
		{1, 0.5, 750 * time.Millisecond}, {2, 1, time.Second},
	}
	for _, tt := range tests {
		if got := p.Delay(tt.attempt, tt.r); got != tt.want {
			t.Errorf("Delay(%d, %v) = %v, want %v", tt.attempt, tt.r, got, tt.want)
		}
	}
	if got := (retry.Policy{Base: time.Hour}).Delay(5000, 0); got != math.MaxInt64 {
		t.Errorf("without Max an endless ladder overflows: %v", got)
	}
}

func TestNextBounds(t *testing.T) {
	now := time.Unix(1000, 0)
	p := retry.Policy{Base: time.Second, MaxAttempts: 3, MaxElapsed: time.Minute}
	if due, ok := p.Next(1, now, now); !ok || !due.Equal(now.Add(time.Second)) {
		t.Errorf("Next(1) = %v, %v", due, ok)
	}
	if _, ok := p.Next(3, now, now); ok {
		t.Error("a fourth attempt is allowed where three are the bound")
	}
	if _, ok := p.Next(2, now.Add(-time.Minute), now); ok {
		t.Error("an attempt is allowed after MaxElapsed")
	}
}

func TestJudge(t *testing.T) {
	tests := map[string]struct {
		err  error
		want retry.Verdict
		d    time.Duration
	}{
		"nil":       {nil, retry.Done, 0},
		"plain":     {errBroken, retry.Again, 0},
		"stop":      {retry.Stop(errBroken), retry.Halt, 0},
		"after":     {retry.After(time.Minute, errBroken), retry.Wait, time.Minute},
		"cancelled": {context.Canceled, retry.Halt, 0},
		"stop nil":  {retry.Stop(nil), retry.Done, 0},
	}
	for name, tt := range tests {
		if got, d := retry.Judge(tt.err); got != tt.want || d != tt.d {
			t.Errorf("%s: Judge = %v, %v, want %v, %v", name, got, d, tt.want, tt.d)
		}
	}
	if !errors.Is(retry.Stop(errBroken), errBroken) || !errors.Is(retry.After(1, errBroken), errBroken) {
		t.Error("the cause is lost")
	}
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		calls := 0
		err := retry.Do(t.Context(), retry.Policy{Base: time.Second, MaxAttempts: 3}, func(context.Context) error {
			calls++
			if calls == 1 {
				return retry.After(time.Minute, errBroken) // spends no attempt
			}
			return errBroken
		})
		if !errors.Is(err, errBroken) || calls != 4 {
			t.Errorf("Do = %v after %d calls, want the cause after 4", err, calls)
		}
		if got, want := time.Since(start), time.Minute+3*time.Second; got != want {
			t.Errorf("waited %v, want %v", got, want)
		}
	})
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := retry.Do(ctx, retry.Policy{Base: time.Hour}, func(context.Context) error { return errBroken })
		if !errors.Is(err, errBroken) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, want both the cause and the deadline", err)
		}
	})
}
