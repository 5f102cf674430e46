package page

import (
	"fmt"

	"github.com/colliehq/collie/signal"
)

// piece is a part of a sentence, linked if Href is set.
type piece struct{ Text, Href string }

// summary is what is broken now: one sentence about the worst state, and one
// for each further state that is not up.
type summary struct {
	State signal.State // chooses symbol and colour
	Title string       // the sentence in short, for the browser's tab
	Line  []piece
	Also  []summaryLine
}

type summaryLine struct {
	State signal.State
	Line  []piece
}

// How many targets a sentence names before it counts the rest: the first, and
// each further one.
const (
	named     = 5
	namedLess = 3
)

// summarize expects the targets in the order of sortTargets.
func summarize(targets []Target) summary {
	by := map[signal.State][]Target{}
	for _, t := range targets {
		by[t.State] = append(by[t.State], t)
	}
	all := len(targets)
	switch {
	case all == 0:
		return summary{State: signal.Unknown, Title: "No targets", Line: []piece{{Text: "No targets yet."}}}
	case len(by[signal.Unknown]) == all:
		return unknownSummary(targets)
	case len(by[signal.Up]) == all:
		return summary{State: signal.Up, Title: "All up", Line: []piece{{Text: allUp(all)}}}
	}
	var s summary
	for _, state := range badness() {
		if state == signal.Up || len(by[state]) == 0 {
			continue
		}
		if s.Line != nil {
			text := fmt.Sprintf("%s %s: ", count(len(by[state])), phrase(state, len(by[state])))
			s.Also = append(s.Also, summaryLine{state, nameThem(text, by[state], namedLess)})
			continue
		}
		s.State = state
		s.Title = count(len(by[state])) + " " + word(state)
		s.Line = nameThem(opening(state, len(by[state]), all), by[state], named)
	}
	return s
}

// opening begins the sentence with how many of how many. That nothing is down
// is said before what is less bad.
func opening(s signal.State, n, all int) string {
	of := fmt.Sprintf("%s of %s %s: ", count(n), targetCount(all), phrase(s, n))
	switch s {
	case signal.Down, signal.Unreachable:
		return of
	case signal.Unknown:
		return "Nothing is known to be down, but " + of
	default:
		return "Nothing is down; " + of
	}
}

func allUp(n int) string {
	if n == 1 {
		return "The one target is up."
	}
	return fmt.Sprintf("All %s targets are up.", count(n))
}

// unknownSummary tells the first minute of a new Collie from an exporter that
// is gone: both know nothing, only one of them is trouble.
func unknownSummary(targets []Target) summary {
	s := summary{State: signal.Unknown, Title: "Nothing known"}
	blind := 0
	for _, t := range targets {
		if t.Blind {
			blind++
		}
	}
	text := "Nothing is known about %s now."
	switch blind {
	case 0:
		text = "Nothing is known yet about %s: the first results are on their way."
	case len(targets):
		text = "Nothing is known about %s: nobody is looking."
	}
	s.Line = []piece{{Text: fmt.Sprintf(text, targetCount(len(targets)))}}
	return s
}

// word is a state as an adjective in a sentence.
func word(s signal.State) string {
	if s == signal.Maintenance {
		return "in maintenance"
	}
	return string(s)
}

func phrase(s signal.State, n int) string {
	if n == 1 {
		return "is " + word(s)
	}
	return "are " + word(s)
}

func targetCount(n int) string {
	if n == 1 {
		return "1 target"
	}
	return count(n) + " targets"
}

// nameThem lists the first few by name and counts the rest.
func nameThem(text string, targets []Target, few int) []piece {
	out := []piece{{Text: text}}
	for i, t := range targets {
		if i == few {
			more := fmt.Sprintf("%s more", count(len(targets)-few))
			return append(out, piece{Text: " and "}, piece{Text: more, Href: "/?state=" + string(t.State)})
		}
		if i > 0 {
			out = append(out, piece{Text: ", "})
		}
		out = append(out, piece{Text: line(t.Name, maxName), Href: targetURL(t.Name)})
	}
	return out
}
