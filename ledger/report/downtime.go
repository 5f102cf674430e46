package report

import (
	"time"

	"github.com/colliehq/collie/signal"
)

// End says how a downtime ended.
type End string

// The ends of a downtime that are no states. A downtime that a state ended
// (up, degraded, maintenance) has that state as its End.
const (
	Open  End = "open"  // it did not
	Blind End = "blind" // nobody looked, or could look, after To
)

// Downtime runs from the first failed result to the recovery. Stretches inside
// of it in which nobody could look are Unknown and not Down: To - From is
// Down + Unknown.
type Downtime struct {
	From, To time.Time // To is zero while it lasts
	End      End
	Down     time.Duration // an open one is counted until now
	Unknown  time.Duration
	Spans    []Span // the parts, suspicions resolved
}

// Downtimes returns the downtimes in the spans, oldest first. now ends an open
// one for counting.
//
// A stretch of not knowing between two stretches of being down belongs to the
// one downtime; at the end it does not, since nobody saw the target down then.
func Downtimes(spans []Span, now time.Time) []Downtime {
	var all []Downtime
	var current []Span // begins with a down span, once it is not empty
	for _, s := range Resolve(spans) {
		switch {
		case s.State == signal.Down, len(current) > 0 && undecided(s.State):
			current = append(current, s)
		case len(current) > 0:
			all = append(all, downtime(current, End(s.State), now))
			current = nil
		}
	}
	if len(current) > 0 {
		all = append(all, downtime(current, Open, now))
	}
	return all
}

// undecided are the states that neither end a downtime nor prove that it lasts.
func undecided(s signal.State) bool {
	return s == signal.Unknown || s == signal.Unreachable || s == signal.Suspect
}

func downtime(spans []Span, end End, now time.Time) Downtime {
	last := len(spans) - 1
	for spans[last].State != signal.Down {
		last--
		end = Blind
	}
	d := Downtime{From: spans[0].From, To: spans[last].To, End: end, Spans: spans[:last+1]}
	for _, s := range d.Spans {
		if s.State == signal.Down {
			d.Down += overlap(s, s.From, now)
		} else {
			d.Unknown += overlap(s, s.From, now)
		}
	}
	return d
}

// Between is the part of the downtime's Down between since and until; an open
// one lasts until until.
func (d Downtime) Between(since, until time.Time) time.Duration {
	var sum time.Duration
	for _, s := range d.Spans {
		if s.State == signal.Down {
			sum += overlap(s, since, until)
		}
	}
	return sum
}
