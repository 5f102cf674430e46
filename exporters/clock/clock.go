// Package clock is the clock of the record: it never goes backwards, and it
// tells when nobody can prove that we looked.
//
// The record's intervals must neither overlap nor leave gaps, whatever happens
// to the wall clock. Three things can happen to it:
//
//   - It is stepped forward, or the machine slept: the record clock follows at
//     once, and the stretch between is a Gap.
//   - It is stepped back: the record clock goes on at half speed until the wall
//     clock has caught up. Nothing overlaps; Ahead says how far it is ahead.
//   - Our own process stood still (SIGSTOP, a frozen container) while the wall
//     clock went on: a Gap too.
package clock

import (
	"sync"
	"time"
)

// Step is how far the wall clock may run ahead of the monotonic one between
// two readings before it counts as stepped: more than any disciplined drift,
// less than a probe's time limit.
const Step = 2 * time.Second

// Cause says why there is a gap.
type Cause string

// The causes of a gap.
const (
	Stall   Cause = "stall" // our process stood still
	Stepped Cause = "step"  // the wall clock was stepped forward, or the machine slept
)

// Gap is a stretch of record time in which we did not look.
type Gap struct {
	From, To time.Time
	Cause    Cause
}

// Source is where the time comes from. Both must be set.
type Source struct {
	Wall func() time.Time     // may be stepped either way
	Mono func() time.Duration // never goes back; its zero means nothing
}

// System is the machine's own time.
func System() Source {
	start := time.Now()
	return Source{
		Wall: func() time.Time { return time.Now().Round(0) },
		Mono: func() time.Duration { return time.Since(start) },
	}
}

// FromNow is a source over one function, as time.Now: its monotonic reading is
// used where it has one.
func FromNow(now func() time.Time) Source {
	start := now()
	return Source{
		Wall: func() time.Time { return now().Round(0) },
		Mono: func() time.Duration { return now().Sub(start) },
	}
}

// Clock is the record clock. Its methods may be called from anywhere.
type Clock struct {
	source Source
	stall  time.Duration

	mu   sync.Mutex
	mono time.Duration // at the last reading
	now  time.Time     // record time at the last reading
	wall time.Time     // wall time at the last reading

	tickMono time.Duration // at the last tick
	tick     time.Time     // record time of the last tick
	gap      *Gap          // found, not yet taken by a tick
	slept    time.Time     // end of the last hiccup
}

// New returns a clock that begins now, and not before after: the last time
// that the record knows. A tick that comes later than stall after the one
// before it means that we stood still.
func New(source Source, after time.Time, stall time.Duration) *Clock {
	c := &Clock{source: source, stall: stall, mono: source.Mono(), wall: utc(source.Wall())}
	c.now = c.wall
	if after.After(c.now) {
		c.now = utc(after)
	}
	c.tickMono, c.tick = c.mono, c.now
	return c
}

// SetStall changes how late a tick may come.
func (c *Clock) SetStall(stall time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stall = stall
}

// Now is the record time, UTC. It never goes back.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// Mono is the monotonic time of the source, for deadlines that no step of the
// wall clock may move.
func (c *Clock) Mono() time.Duration { return c.source.Mono() }

// Ahead is how far the record clock is ahead of the wall clock; 0 unless the
// wall clock was stepped back.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, c.read().Sub(c.wall))
}

// Tick says that we are looking, and returns the record time. If we did not
// look since the tick before, it returns the gap too. Call it a few times per
// stall limit, and before every use of a result that took time to get.
func (c *Clock) Tick() (time.Time, *Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.read()
	silence := c.mono - c.tickMono
	if silence > c.stall && c.gap == nil {
		c.gap = &Gap{Cause: Stall}
	}
	if silence > Step {
		c.slept = now
	}
	gap := c.gap
	if gap != nil {
		// What we saw is proven up to the tick before, whatever came in between.
		gap.From, gap.To = c.tick, now
		c.slept = now
	}
	c.gap, c.tick, c.tickMono = nil, now, c.mono
	return now, gap
}

// Hiccup is the end of the last stretch in which ticks were late by more than
// Step: a time limit that ran out across it proves nothing about the other
// side. It is zero if there was none.
func (c *Clock) Hiccup() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slept
}

// read advances the record clock to this moment.
func (c *Clock) read() time.Time {
	mono, wall := c.source.Mono(), utc(c.source.Wall())
	elapsed := max(0, mono-c.mono)
	behind := wall.Before(c.now.Add(elapsed / 2))
	// The wall clock alone says whether it was stepped: while it is catching up
	// with the record clock, the two differ anyway.
	if !behind && wall.Sub(c.wall)-elapsed > Step {
		c.gap = &Gap{Cause: Stepped}
	}
	if behind {
		c.now = c.now.Add(elapsed / 2)
	} else {
		c.now = wall
	}
	c.mono, c.wall = mono, wall
	return c.now
}

func utc(t time.Time) time.Time { return t.Round(0).UTC() }
