package page

import (
	"slices"
)

// blindness is an exporter that nobody has heard of for too long.
type blindness struct {
	Source  string
	Seen    moment
	Targets string // "14 targets"
}

// blind groups the targets that nobody looks at by who should.
func (c clock) blind(targets []Target) []blindness {
	type group struct {
		n    int
		last Target
	}
	groups := map[string]*group{}
	var order []string
	for _, t := range targets {
		if !t.Blind {
			continue
		}
		if groups[t.Source] == nil {
			groups[t.Source] = &group{}
			order = append(order, t.Source)
		}
		g := groups[t.Source]
		if g.n++; t.Seen.After(g.last.Seen) || g.n == 1 {
			g.last = t
		}
	}
	slices.Sort(order)
	var out []blindness
	for _, source := range order[:min(len(order), maxNames)] {
		g := groups[source]
		out = append(out, blindness{line(source, maxName), c.moment(g.last.Seen), targetCount(g.n)})
	}
	return out
}
