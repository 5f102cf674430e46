package page

import (
	"net/url"

	"github.com/colliehq/collie/signal"
)

// row is one target in the list.
type row struct {
	key      string // the name as the record has it
	State    signal.State
	Name     string
	URL      string
	Tier     string
	Address  string
	Href     string
	Probe    string
	Since    moment
	Reason   string
	Cause    string
	Failed   moment // of an up target: when it failed last
	Blind    bool
	Seen     moment
	Bar      bar
	Depends  []neighbour
	More     int // dependencies that are not listed
	Provides []piece
}

// neighbour is a target at the other end of a dependency.
type neighbour struct {
	Name  string
	URL   string
	State signal.State // "" if it is not configured
}

func (c clock) row(t Target, states map[string]signal.State) row {
	r := row{
		key:   t.Name,
		State: t.State, Name: line(t.Name, maxName), URL: targetURL(t.Name), Tier: line(t.Tier, maxName),
		Probe: line(t.Probe, maxName), Since: c.moment(t.Since), Reason: line(t.Reason, maxName),
		Cause: line(t.Cause, maxCause), Failed: c.moment(t.Failed), Blind: t.Blind, Seen: c.moment(t.Seen),
		Depends: neighbours(t.DependsOn, states), Provides: provides(t.Provides),
	}
	if t.State == signal.Up {
		r.Cause = line(t.Cause, maxPast)
	}
	r.Address, r.Href = webAddress(t.Address)
	if len(r.Depends) > maxNames {
		r.More, r.Depends = len(r.Depends)-maxNames, r.Depends[:maxNames]
	}
	return r
}

func neighbours(names []string, states map[string]signal.State) []neighbour {
	var out []neighbour
	for _, name := range names {
		n := neighbour{Name: line(name, maxName), State: states[name]}
		if n.State != "" {
			n.URL = targetURL(name)
		}
		out = append(out, n)
	}
	return out
}

// provides links each thing to everything that names it.
func provides(things []string) []piece {
	var out []piece
	for _, thing := range things[:min(len(things), maxNames)] {
		text := line(thing, maxName)
		out = append(out, piece{Text: text, Href: query("/", url.Values{"q": {text}})})
	}
	return out
}
