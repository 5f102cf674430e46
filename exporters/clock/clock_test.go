package clock_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/exporters/clock"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

const stall = 15 * time.Second

// world is a machine whose clocks are moved by hand.
type world struct {
	wall time.Time
	mono time.Duration
}

func (w *world) source() clock.Source {
	return clock.Source{Wall: func() time.Time { return w.wall }, Mono: func() time.Duration { return w.mono }}
}

// pass lets both clocks go on.
func (w *world) pass(d time.Duration) { w.wall, w.mono = w.wall.Add(d), w.mono+d }

func newClock() (*world, *clock.Clock) {
	w := &world{wall: start, mono: time.Hour}
	return w, clock.New(w.source(), time.Time{}, stall)
}

func TestFollowsTheWall(t *testing.T) {
	w, c := newClock()
	for range 100 {
		w.pass(time.Second)
		w.wall = w.wall.Add(time.Millisecond) // disciplined drift
		if now, gap := c.Tick(); !now.Equal(w.wall) || gap != nil {
			t.Fatalf("tick at %s: %s, %v", w.wall, now, gap)
		}
	}
	if c.Ahead() != 0 || !c.Hiccup().IsZero() {
		t.Errorf("ahead %s, hiccup %s", c.Ahead(), c.Hiccup())
	}
}

func TestHourForwardIsAGap(t *testing.T) {
	w, c := newClock()
	w.pass(time.Second)
	c.Tick()
	seen := w.wall
	w.pass(time.Second)
	w.wall = w.wall.Add(time.Hour)
	c.Now() // somebody reads before the tick: the gap must not get lost
	w.pass(time.Second)
	now, gap := c.Tick()
	want := &clock.Gap{From: seen, To: w.wall, Cause: clock.Stepped}
	if diff := cmp.Diff(want, gap); diff != "" || !now.Equal(w.wall) {
		t.Errorf("gap (-want +got), now %s:\n%s", now, diff)
	}
	if _, again := c.Tick(); again != nil {
		t.Errorf("the gap is told twice: %v", again)
	}
	if !c.Hiccup().Equal(w.wall) {
		t.Errorf("hiccup ends at %s, want %s", c.Hiccup(), w.wall)
	}
}

func TestHourBackGoesOnAtHalfSpeed(t *testing.T) {
	w, c := newClock()
	w.pass(time.Second)
	c.Tick()
	w.wall = w.wall.Add(-time.Hour)
	first := c.Now()
	for i := range 7200 {
		w.pass(time.Second)
		now, gap := c.Tick()
		if want := first.Add(time.Duration(i+1) * time.Second / 2); !now.Equal(want) || gap != nil {
			t.Fatalf("after %d s: %s, want %s; gap %v", i+1, now, want, gap)
		}
		if got, want := c.Ahead(), time.Hour-time.Duration(i+1)*time.Second/2; got != want {
			t.Fatalf("after %d s: ahead %s, want %s", i+1, got, want)
		}
	}
	w.pass(time.Second)
	if now, gap := c.Tick(); !now.Equal(w.wall) || gap != nil {
		t.Errorf("caught up at %s, want %s; gap %v", now, w.wall, gap)
	}
}

func TestBackAndForwardAgain(t *testing.T) {
	w, c := newClock()
	w.wall = w.wall.Add(-time.Hour)
	c.Tick()
	for range 60 {
		w.pass(time.Second)
		c.Tick()
	}
	before := c.Now()
	w.wall = w.wall.Add(time.Hour)
	now, gap := c.Tick()
	want := &clock.Gap{From: before, To: start.Add(time.Minute), Cause: clock.Stepped}
	if diff := cmp.Diff(want, gap); diff != "" || !now.Equal(start.Add(time.Minute)) {
		t.Errorf("gap (-want +got), now %s:\n%s", now, diff)
	}
}

// A step forward that does not reach the record clock leaves no gap in it.
func TestForwardWhileAhead(t *testing.T) {
	w, c := newClock()
	w.wall = w.wall.Add(-time.Hour)
	c.Tick()
	w.wall = w.wall.Add(30 * time.Minute)
	if now, gap := c.Tick(); !now.Equal(start) || gap != nil {
		t.Errorf("now %s, gap %v", now, gap)
	}
	if c.Ahead() != 30*time.Minute {
		t.Errorf("ahead %s", c.Ahead())
	}
}

func TestStall(t *testing.T) {
	w, c := newClock()
	w.pass(time.Second)
	c.Tick()
	seen := w.wall
	w.pass(stall)
	if _, gap := c.Tick(); gap != nil {
		t.Fatalf("a tick exactly in time is a gap: %v", gap)
	}
	seen = seen.Add(stall)
	w.pass(stall + 1)
	c.Now()
	_, gap := c.Tick()
	if diff := cmp.Diff(&clock.Gap{From: seen, To: w.wall, Cause: clock.Stall}, gap); diff != "" {
		t.Errorf("gap (-want +got):\n%s", diff)
	}
}

// A machine that slept has a monotonic clock that stood still.
func TestSuspendedMachine(t *testing.T) {
	w, c := newClock()
	seen := w.wall
	w.wall = w.wall.Add(8 * time.Hour)
	_, gap := c.Tick()
	if diff := cmp.Diff(&clock.Gap{From: seen, To: w.wall, Cause: clock.Stepped}, gap); diff != "" {
		t.Errorf("gap (-want +got):\n%s", diff)
	}
}

func TestHiccupWithoutGap(t *testing.T) {
	w, c := newClock()
	c.Tick()
	w.pass(clock.Step + time.Second)
	if _, gap := c.Tick(); gap != nil {
		t.Errorf("a short stall is a gap: %v", gap)
	}
	if !c.Hiccup().Equal(w.wall) {
		t.Errorf("hiccup %s, want %s", c.Hiccup(), w.wall)
	}
}

func TestBeginsAfterTheRecord(t *testing.T) {
	w := &world{wall: start}
	last := start.Add(time.Hour) // the wall clock was stepped back while we were away
	c := clock.New(w.source(), last, stall)
	if now := c.Now(); !now.Equal(last) {
		t.Errorf("begins at %s, before the record's end %s", now, last)
	}
	w.pass(10 * time.Second)
	if now, gap := c.Tick(); !now.Equal(last.Add(5*time.Second)) || gap != nil {
		t.Errorf("now %s, gap %v", now, gap)
	}
}

// TestNeverBack steps both clocks at random: the record clock never goes back,
// and record time that passed without a gap is not longer than real time but
// for unnoticed steps shorter than Step.
func TestNeverBack(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		w, c := newClock()
		last, steps := c.Now(), 0
		var gaps time.Duration
		for range 500 {
			w.pass(time.Duration(rnd.Int64N(int64(2 * time.Second))))
			if rnd.IntN(10) == 0 {
				w.wall = w.wall.Add(time.Duration(rnd.Int64N(int64(2*time.Hour))) - time.Hour)
				steps++
			}
			if rnd.IntN(3) == 0 {
				c.Now()
			}
			now, gap := c.Tick()
			if now.Before(last) {
				t.Fatalf("seed %d: %s after %s", seed, now, last)
			}
			if gap != nil {
				gaps += gap.To.Sub(gap.From)
				if !gap.From.Equal(last) || !gap.To.Equal(now) {
					t.Fatalf("seed %d: gap %v between ticks %s and %s", seed, gap, last, now)
				}
			}
			last = now
		}
		looked := last.Sub(start) - gaps
		if limit := w.mono - time.Hour + time.Duration(steps)*clock.Step; looked > limit {
			t.Errorf("seed %d: %s of record time was looked at in %s", seed, looked, limit)
		}
	}
}

func TestFromNow(t *testing.T) {
	at := start
	source := clock.FromNow(func() time.Time { return at })
	at = at.Add(time.Minute)
	if source.Mono() != time.Minute || !source.Wall().Equal(at) {
		t.Errorf("mono %s, wall %s", source.Mono(), source.Wall())
	}
	if d := clock.System().Mono(); d < 0 {
		t.Errorf("system's monotonic time %s", d)
	}
}
