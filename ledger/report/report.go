// Package report is the arithmetic of the record: spans of states in, downtimes
// and sums out. It knows no clock, no store and no network, so that its tests
// are tables.
package report

import (
	"time"

	"github.com/colliehq/collie/signal"
)

// Span is a stretch of one target in one state, From inclusive, To exclusive.
// A zero To is a span that still lasts; only the last one may.
//
// The functions here take the spans of one target, oldest first, without
// overlap.
type Span struct {
	From, To time.Time
	State    signal.State
}

// Resolve returns a copy in which each suspect span has the state of what
// followed it: a suspicion that was confirmed was down time already, one that
// was not was none. The last span stays suspect if nothing followed yet.
func Resolve(spans []Span) []Span {
	resolved := make([]Span, len(spans))
	copy(resolved, spans)
	for i := len(resolved) - 2; i >= 0; i-- {
		if resolved[i].State == signal.Suspect {
			resolved[i].State = resolved[i+1].State
		}
	}
	return resolved
}

// Totals are lengths by state.
type Totals struct {
	Up, Degraded, Down, Unreachable, Unknown, Maintenance time.Duration

	Undecided time.Duration // suspect, and nothing followed yet
}

// Sum adds up the parts of the spans between since and until, suspicions
// resolved. An open span lasts until until.
func Sum(spans []Span, since, until time.Time) Totals {
	var t Totals
	for _, s := range Resolve(spans) {
		if d := overlap(s, since, until); d > 0 {
			*t.of(s.State) += d
		}
	}
	return t
}

// Elapsed is the sum of all.
func (t Totals) Elapsed() time.Duration {
	return t.Up + t.Degraded + t.Down + t.Unreachable + t.Unknown + t.Maintenance + t.Undecided
}

// Availability is (up+degraded)/(up+degraded+down), and false if the target was
// in none of these.
func (t Totals) Availability() (float64, bool) {
	works := t.Up + t.Degraded
	judged := works + t.Down
	if judged == 0 {
		return 0, false
	}
	return float64(works) / float64(judged), true
}

func (t *Totals) of(s signal.State) *time.Duration {
	switch s {
	case signal.Up:
		return &t.Up
	case signal.Degraded:
		return &t.Degraded
	case signal.Down:
		return &t.Down
	case signal.Unreachable:
		return &t.Unreachable
	case signal.Maintenance:
		return &t.Maintenance
	case signal.Suspect:
		return &t.Undecided
	case signal.Unknown:
	}
	return &t.Unknown
}

// overlap is the length of the part of s between since and until.
func overlap(s Span, since, until time.Time) time.Duration {
	from, to := s.From, s.To
	if to.IsZero() || to.After(until) {
		to = until
	}
	if from.Before(since) {
		from = since
	}
	return max(to.Sub(from), 0)
}
