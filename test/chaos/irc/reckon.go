package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// heard is a line as a person in the channel reads it: about one alert, or about
// many of one name.
type heard struct {
	mark, kind, severity, name string
	target                     string // of a fold the first
	count                      int
	at                         time.Time
}

var (
	lineHead = regexp.MustCompile(`^(\[[0-9a-f]{3}\] )?(FIRING|STILL FIRING|RESOLVED|MISSED) (critical|warning) (.*)$`)
	foldOf   = regexp.MustCompile(`^(\d+) (Fault\d+): (host\d+)`)
	singleOf = regexp.MustCompile(`^(host\d+) (Fault\d+): chaos`)
	partOf   = regexp.MustCompile(`\((\d)/(\d)\)$`)
)

// read takes a line apart. A second part of a line says nothing new.
func read(text string, at time.Time) (h heard, ok, strange bool) {
	m := lineHead.FindStringSubmatch(text)
	if m == nil {
		p := partOf.FindStringSubmatch(text)
		return h, false, p == nil || p[1] == "1"
	}
	h = heard{mark: m[1], kind: m[2], severity: m[3], count: 1, at: at}
	if f := foldOf.FindStringSubmatch(m[4]); f != nil {
		h.count, _ = strconv.Atoi(f[1])
		h.name, h.target = f[2], f[3]
		return h, true, false
	}
	if f := singleOf.FindStringSubmatch(m[4]); f != nil {
		h.target, h.name = f[1], f[2]
		return h, true, false
	}
	return h, false, true
}

// line is what makes a line the same when it is said again.
type line struct {
	kind, severity, name, target string
	count                        int
}

// verdict is what is not right.
type verdict struct {
	lost, duplicated, wrong int
	loud                    bool
}

func (v *verdict) bad(format string, args ...any) {
	v.wrong++
	v.say(format, args...)
}

func (v *verdict) say(format string, args ...any) {
	if v.loud {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

// reckon holds all that was heard against all that was accepted.
func (t *trial) reckon(loud bool) (all verdict) {
	for _, p := range t.places {
		v := t.reckonAt(p, loud)
		all.lost, all.duplicated, all.wrong = all.lost+v.lost, all.duplicated+v.duplicated, all.wrong+v.wrong
	}
	return all
}

// reckonAt does it on one server.
func (t *trial) reckonAt(p place, loud bool) verdict {
	v := verdict{loud: loud}
	var accepted []*alert
	for _, a := range t.ledger.alerts {
		if a.place == p {
			accepted = append(accepted, a)
		}
	}
	first := map[line]heard{}
	var told []heard // each line once, in the order of the first time
	for _, s := range p.heard() {
		h, ok, strange := read(s.Text, s.At)
		if strange {
			v.bad("a strange line: %s", s.Text)
		}
		if !ok {
			continue
		}
		l := line{h.kind, h.severity, h.name, h.target, h.count}
		if before, again := first[l]; again {
			t.again(&v, p, before, h)
			continue
		}
		first[l] = h
		told = append(told, h)
	}
	counts(&v, accepted, told)
	order(&v, accepted, told)
	return v
}

// again is a line that was said before: it has to be marked, and nobody may have
// known that it had arrived.
func (t *trial) again(v *verdict, p place, before, h heard) {
	v.duplicated++
	if h.mark == "" {
		v.bad("said again without a mark: %+v, first %+v", h, before)
	}
	for _, d := range t.disruptions {
		if before.at.After(d.from.Add(-p.slow())) && before.at.Before(d.to) {
			return
		}
	}
	v.bad("said again although it was confirmed: %+v, first %+v", h, before)
}

// counts adds up, for each name, how many alerts were said to fire and to be
// resolved.
func counts(v *verdict, accepted []*alert, told []heard) {
	fired, resolved := map[string]int{}, map[string]int{}
	for _, a := range accepted {
		if a.fired {
			fired[a.name]++
		}
		if a.resolved {
			resolved[a.name]++
		}
	}
	for _, h := range told {
		if h.kind != "RESOLVED" {
			fired[h.name] -= h.count
		}
		if h.kind != "FIRING" {
			resolved[h.name] -= h.count
		}
	}
	for status, left := range map[string]map[string]int{"firing": fired, "resolved": resolved} {
		for name, n := range left {
			if n > 0 {
				v.lost += n
				v.say("%s: %d accepted as %s were never said", name, n, status)
			}
			if n < 0 {
				v.bad("%s: %d more were said to be %s than are", name, -n, status)
			}
		}
	}
}

// order wants what is said of the same kind in the order in which it was
// accepted, and no alert said to be resolved that is not, or before it fired.
// The Alertmanager inside tells of several alerts in an order of its own.
func order(v *verdict, accepted []*alert, told []heard) {
	type kind struct{ name, kind string }
	last, seen := map[kind]string{}, map[string]string{}
	known := map[string]*alert{}
	for _, a := range accepted {
		known[a.target] = a
	}
	for _, h := range told {
		k := kind{h.name, h.kind}
		a := known[h.target]
		if a != nil && a.road == hook && last[k] > h.target {
			v.bad("%s is said after %s: %+v", h.target, last[k], h)
		}
		last[k] = h.target
		switch {
		case a == nil || a.name != h.name || a.severity != h.severity:
			v.bad("an alert that nobody made: %+v", h)
		case h.kind != "FIRING" && (a.ending.IsZero() || h.at.Before(a.ending)):
			v.bad("said to be resolved while it fires: %+v", h)
		case h.kind == "FIRING" && seen[h.target] == "RESOLVED":
			v.bad("said to be resolved before it was said to fire: %+v", h)
		}
		seen[h.target] = h.kind
	}
}
