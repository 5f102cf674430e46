package ledger

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/strictyaml"
	"github.com/colliehq/collie/signal"
)

// params reads the parameters of a request and keeps the first mistake.
type params struct {
	values url.Values
	now    time.Time
	err    error
}

// newParams refuses what the route does not know: a misspelt parameter would
// otherwise answer another question than the one asked.
func newParams(raw string, now time.Time, known ...string) *params {
	p := &params{now: now}
	values, err := url.ParseQuery(raw)
	if err != nil {
		p.bad("the parameters cannot be read: %v", err)
		return p
	}
	p.values = values
	for name, v := range values {
		switch {
		case !slices.Contains(known, name):
			p.bad("parameter %q is not known here; this takes %s", name, strings.Join(known, ", "))
		case len(v) > 1 && name != "state":
			p.bad("parameter %q is given %d times", name, len(v))
		}
	}
	return p
}

func (p *params) bad(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", ErrBadQuery, fmt.Sprintf(format, args...))
	}
}

func (p *params) text(name string) string { return p.values.Get(name) }

// time reads RFC 3339, Unix seconds, or a duration back from now.
func (p *params) time(name string) time.Time {
	v := p.text(name)
	if v == "" {
		return time.Time{}
	}
	t, err := ParseTime(v, p.now)
	if err != nil {
		p.bad("%s: %v", name, err)
	}
	return t
}

// ParseTime reads a time as people give it: RFC 3339 (2026-11-22T08:30:00Z), a
// date (2026-11-22, UTC), Unix seconds, or a duration back from now (30d, 12h).
func ParseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return inRange(t.UTC(), text)
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) >= math.MaxInt64/1e9 {
			return time.Time{}, fmt.Errorf("%q is outside of the years 1678 to 2262", text)
		}
		whole, part := math.Modf(seconds)
		return inRange(time.Unix(int64(whole), int64(math.Round(part*1e9))).UTC(), text)
	}
	d, err := strictyaml.ParseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time; write 2026-11-22T08:30:00Z, Unix seconds, or how long ago, as 30d or 12h", text)
	}
	return inRange(now.Add(-d).UTC(), text)
}

// inRange refuses what nanoseconds cannot count.
func inRange(t time.Time, text string) (time.Time, error) {
	if t.Year() < 1678 || t.Year() > 2261 {
		return time.Time{}, fmt.Errorf("%q is outside of the years 1678 to 2262", text)
	}
	return t, nil
}

// window reads since and until. The beginning is inclusive, the end is not.
func (p *params) window() (since, until time.Time) {
	since, until = p.time("since"), p.time("until")
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		p.bad("since (%s) is not before until (%s)", since.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return since, until
}

func (p *params) limit() int {
	v := p.text("limit")
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > MaxLimit {
		p.bad("limit %q is not a number from 1 to %d", v, MaxLimit)
	}
	return n
}

// states reads states, given several times or with commas.
func (p *params) states() []signal.State {
	var states []signal.State
	for _, v := range p.values["state"] {
		for name := range strings.SplitSeq(v, ",") {
			s := signal.State(name)
			switch {
			case !s.Valid():
				p.bad("state %q is not one of %s", name, words(signal.States()))
			case !slices.Contains(states, s):
				states = append(states, s)
			}
		}
	}
	return states
}

func (p *params) kind() signal.Kind {
	k := signal.Kind(p.text("kind"))
	if k != "" && !slices.Contains(signal.Kinds(), k) {
		p.bad("kind %q is not one of %s", k, words(signal.Kinds()))
	}
	return k
}

// byMonth reads by and tz.
func (p *params) byMonth() (bool, *time.Location) {
	by, name := p.text("by"), p.text("tz")
	if by != "" && by != "month" {
		p.bad("by %q is not month", by)
	}
	zone, err := time.LoadLocation(name) // refuses what leaves the folder of zones
	if err != nil || name == "Local" {
		p.bad("tz %q is not a time zone; write one as Europe/Prague", name)
	}
	return by == "month", zone
}

func words[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}
