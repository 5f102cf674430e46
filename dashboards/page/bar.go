package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/colliehq/collie/signal"
)

// bar is a stretch of time as a picture with a text that says the same. Each
// cell shows the worst state in its part of the time, so that a short downtime
// stays visible; the number of cells bounds the size.
type bar struct {
	Cells int
	Paths []barPath
	Text  string
	From  moment
}

type barPath struct {
	State signal.State
	D     string // of an SVG path
}

// shape is where a state stands in the bar, from top (0) to bottom (20). The shapes
// differ, so that no state is told by its colour alone: trouble stands out
// above the line of what is up, and what nobody saw is a thin line.
func shape(s signal.State) [][2]int {
	switch s {
	case signal.Up:
		return [][2]int{{6, 20}}
	case signal.Degraded:
		return [][2]int{{6, 12}, {15, 20}}
	case signal.Suspect:
		return [][2]int{{3, 20}}
	case signal.Down:
		return [][2]int{{0, 20}}
	case signal.Unreachable:
		return [][2]int{{0, 8}, {12, 20}}
	case signal.Maintenance:
		return [][2]int{{16, 20}}
	default: // unknown
		return [][2]int{{12, 14}}
	}
}

// drawBar draws the intervals of one target between from and to.
func drawBar(c clock, intervals []Interval, from, to time.Time, cells int) bar {
	return bar{
		Cells: cells, Paths: paths(cellStates(intervals, from, to, cells)),
		Text: barText(intervals, from, to), From: c.moment(from),
	}
}

// clipTo is the part of the interval between from and to.
func (i Interval) clipTo(from, to time.Time) (time.Time, time.Time) {
	end := i.To
	if end.IsZero() || end.After(to) {
		end = to
	}
	if i.From.After(from) {
		from = i.From
	}
	return from, end
}

func cellStates(intervals []Interval, from, to time.Time, cells int) []signal.State {
	states := make([]signal.State, cells)
	step := to.Sub(from) / time.Duration(cells)
	for _, i := range intervals {
		a, b := i.clipTo(from, to)
		if !b.After(a) || step <= 0 {
			continue
		}
		last := min(int((b.Sub(from)-1)/step), cells-1)
		for n := int(a.Sub(from) / step); n <= last; n++ {
			if states[n] == "" || badnessOf(i.State) < badnessOf(states[n]) {
				states[n] = known(i.State)
			}
		}
	}
	return states
}

// paths draws each run of equal cells as one rectangle per part of its shape,
// and all runs of a state as one path.
func paths(states []signal.State) []barPath {
	drawn := map[signal.State]*strings.Builder{}
	for start := 0; start < len(states); {
		end := start
		for end < len(states) && states[end] == states[start] {
			end++
		}
		if s := states[start]; s != "" {
			if drawn[s] == nil {
				drawn[s] = &strings.Builder{}
			}
			for _, part := range shape(s) {
				fmt.Fprintf(drawn[s], "M%d %dh%dv%dh-%dz", start, part[0], end-start, part[1]-part[0], end-start)
			}
		}
		start = end
	}
	var out []barPath
	for _, s := range badness() {
		if drawn[s] != nil {
			out = append(out, barPath{State: s, D: drawn[s].String()})
		}
	}
	return out
}

// legend is one cell of each state.
func legend() []barPath {
	var out []barPath
	for _, s := range badness() {
		out = append(out, paths([]signal.State{s})...)
	}
	return out
}

// barText says in words what the bar shows: "Last 24 h: down 12 min (2 times), up 23 h 48 min".
func barText(intervals []Interval, from, to time.Time) string {
	total, times := map[signal.State]time.Duration{}, map[signal.State]int{}
	silent := to.Sub(from)
	for _, i := range intervals {
		a, b := i.clipTo(from, to)
		if !b.After(a) {
			continue
		}
		total[known(i.State)] += b.Sub(a)
		times[known(i.State)]++
		silent -= b.Sub(a)
	}
	var parts []string
	for _, s := range badness() {
		switch {
		case times[s] == 0:
		case times[s] == 1 || s == signal.Up:
			parts = append(parts, fmt.Sprintf("%s %s", s, lasted(total[s])))
		default:
			parts = append(parts, fmt.Sprintf("%s %s (%d times)", s, lasted(total[s]), times[s]))
		}
	}
	if silent >= time.Second {
		parts = append(parts, "no record "+lasted(silent))
	}
	return "Last " + span(to.Sub(from)) + ": " + strings.Join(parts, ", ")
}

// span names a window: "24 h", "7 d".
func span(d time.Duration) string {
	if d <= 2*day {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/day)
}
