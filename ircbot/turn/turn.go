// Package turn decides which waiting line is said next, and which lines are
// said as one. It is pure: lines in, a choice out.
package turn

import (
	"slices"
	"time"

	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/words"
)

// Channel is what matters about a channel we are in.
type Channel struct {
	Joined time.Time // lines accepted before waited while we were away
}

// Turn is the order of talk on one network. It remembers a storm until nothing
// waits any more: otherwise the end of a storm would be said line by line.
type Turn struct {
	// Within is how many lines can be said soon; more waiting lines are a storm.
	// Kinds is how many folds a storm may become before kinds are said together.
	Kinds int

	storm bool
}

// Choice is what to say. Several lines are folded into one that says About.
type Choice struct {
	Lines []spool.Line
	About words.About
}

// Storm reports whether lines are being folded.
func (t *Turn) Storm() bool { return t.storm }

// Next chooses among the open lines of a network, oldest first, those of the
// lanes. within is how many lines can be said soon. There is none if nothing
// waits in a channel that we are in.
func (t *Turn) Next(open []spool.Line, channels map[string]Channel, within int, lanes ...spool.Lane) (Choice, bool) {
	heads := t.heads(open, channels)
	if len(heads) == 0 {
		t.storm = false
		return Choice{}, false
	}
	waiting := 0
	for _, h := range heads {
		if h.foldable() {
			waiting += len(h.queue)
		}
	}
	t.storm = t.storm || waiting > within
	first, ok := best(heads, lanes)
	if !ok {
		return Choice{}, false
	}
	if !t.storm || !first.foldable() {
		return first.single(), true
	}
	return fold(t.group(heads, first)), true
}

// head is the oldest waiting line about a subject in a channel, or the pair of
// lines that is said as one; nothing about the subject is said before it.
type head struct {
	line  spool.Line
	about words.About
	lines []spool.Line // line, and what is said with it
	queue []spool.Line // all that waits about the subject
}

func (h *head) foldable() bool {
	return h.line.Waits() && h.line.Lane != spool.Reply && h.about.Count == 0 && h.about.Kind != words.Dropped
}

func (h *head) single() Choice { return Choice{Lines: h.lines, About: h.about} }

type key struct{ channel, subject string }

// heads finds, for each subject in each channel we are in, what can be said of
// it now, in the order of the lines.
func (t *Turn) heads(open []spool.Line, channels map[string]Channel) (heads []*head) {
	known := map[key]*head{}
	for _, l := range open {
		if _, in := channels[l.Channel]; !in {
			continue
		}
		k := key{l.Channel, l.Subject}
		if h := known[k]; h != nil && l.Subject != "" {
			h.queue = append(h.queue, l)
			continue
		}
		h := &head{line: l, about: l.About, lines: []spool.Line{l}, queue: []spool.Line{l}}
		known[k] = h
		heads = append(heads, h)
	}
	heads = slices.DeleteFunc(heads, func(h *head) bool { return h.line.State != spool.Queued })
	for _, h := range heads {
		h.pair(channels[h.line.Channel].Joined, t.storm)
	}
	return heads
}

// pair makes one line of an alert that fired and was resolved before we could
// say either: because we were away, or because too much was to be said. If that
// happened several times, all of it is one line.
func (h *head) pair(joined time.Time, storm bool) {
	end := -1
	for i, l := range h.queue {
		if !l.Waits() || !storm && !l.Accepted.Before(joined) {
			break
		}
		if l.About.Kind == words.Resolved {
			end = i
		}
	}
	if end < 1 || h.queue[0].About.Kind == words.Resolved {
		return
	}
	h.lines = h.queue[:end+1]
	h.about = h.lines[end].About
	h.about.Kind, h.about.Link = words.Missed, h.lines[0].About.Link
	h.about.Started = h.lines[0].About.Started
}

// best is the head of the most urgent lane, of it the oldest.
func best(heads []*head, lanes []spool.Lane) (*head, bool) {
	var found *head
	for _, h := range heads {
		if slices.Contains(lanes, h.line.Lane) && (found == nil || h.line.Lane < found.line.Lane) {
			found = h
		}
	}
	return found, found != nil
}

// kind is what folds together.
type kind struct {
	channel  string
	lane     spool.Lane
	kind     words.Kind
	severity string
	name     string
}

func (h *head) kind(named bool) kind {
	k := kind{channel: h.line.Channel, lane: h.line.Lane, kind: h.about.Kind, severity: h.about.Severity}
	if named {
		k.name = h.about.Name
	}
	return k
}

// group is what is said together with the first: the same alert name and
// severity, or the severity alone if there are more kinds than can be said.
func (t *Turn) group(heads []*head, first *head) (group []*head) {
	kinds := map[kind]bool{}
	for _, h := range heads {
		if h.foldable() {
			kinds[h.kind(true)] = true
		}
	}
	named := len(kinds) <= t.Kinds
	for _, h := range heads {
		if h.foldable() && h.kind(named) == first.kind(named) {
			group = append(group, h)
		}
	}
	return group
}

func fold(group []*head) (c Choice) {
	if len(group) == 1 {
		return group[0].single()
	}
	var all []words.About
	for _, h := range group {
		c.Lines = append(c.Lines, h.lines...)
		all = append(all, h.about)
	}
	c.About = words.Fold(all)
	return c
}
