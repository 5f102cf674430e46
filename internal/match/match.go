// Package match finds many patterns in lines of text at once.
//
// For each pattern it works out texts of which every match must contain one.
// One pass over the bytes looks for a rare piece of four bytes of each of these
// texts; the regular expression runs only on a line in which such a text stands.
// The answers are those of running each expression alone on each line, and the
// time is linear in the input.
package match

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
)

// Pattern is something to look for in a line.
type Pattern struct {
	// Expr is an RE2 expression as package regexp reads it, or a text to be
	// found as it is.
	Expr    string
	Literal bool // Expr is a text
}

// Set is many patterns, compiled. It is not changed by matching, and may be used
// by many goroutines.
type Set struct {
	patterns []pattern
	filter   filter
	always   []int // patterns that every line is tried with
}

// pattern is one pattern and what must stand in a line that it matches.
type pattern struct {
	source   Pattern
	re       *regexp.Regexp // nil: a text
	text     []byte
	required []string // folded texts of which one must be there; nil: nothing is known
	prefixes []string // folded texts with one of which the line must begin; nil: nothing is known
	edges    bool     // it asks for the begin or end of the line or of a word
}

// Compile compiles the patterns; hits name them by their index. The error tells
// every pattern that is wrong.
func Compile(patterns []Pattern) (*Set, error) {
	s := &Set{patterns: make([]pattern, len(patterns))}
	var wrong []error
	for i, p := range patterns {
		var err error
		if s.patterns[i], err = compile(p); err != nil {
			wrong = append(wrong, fmt.Errorf("pattern %d: %w", i, err))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	s.filter, s.always = newFilter(s.patterns)
	return s, nil
}

func compile(p Pattern) (pattern, error) {
	if p.Literal {
		if p.Expr == "" {
			return pattern{}, errors.New("an empty text is in every line")
		}
		return pattern{source: p, text: []byte(p.Expr), required: useful([]string{fold(p.Expr)})}, nil
	}
	re, err := regexp.Compile(p.Expr)
	if err != nil {
		return pattern{}, err
	}
	tree, err := syntax.Parse(p.Expr, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	simple := tree.Simplify()
	return pattern{source: p, re: re, required: useful(required(simple)), prefixes: prefixes(simple), edges: edges(tree)}, nil
}

// edges reports whether the expression asks for the begin or end of something.
func edges(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	default:
		return slices.ContainsFunc(re.Sub, edges)
	}
}

// Pattern is the pattern with the index.
func (s *Set) Pattern(i int) Pattern { return s.patterns[i].source }

// Portable is the set without the SIMD path, for comparison.
func (s *Set) Portable() *Set {
	plain := *s
	plain.filter.vector.on = false
	return &plain
}

// Vector reports whether the set uses the SIMD path of this build and processor.
func (s *Set) Vector() bool { return s.filter.vector.on }

// Len is the number of patterns.
func (s *Set) Len() int { return len(s.patterns) }

// Required tells the texts, in lower case, of which one stands in every line
// that the pattern matches. There are none for a pattern that is tried on every
// line, which is slow.
func (s *Set) Required(pattern int) []string { return slices.Clone(s.patterns[pattern].required) }

// Size is about how many bytes the tables of the set take, without those of the
// regular expressions.
func (s *Set) Size() int { return s.filter.size() }

// Hit is a pattern that matches a line.
type Hit struct {
	Pattern int    // index of the pattern
	Line    []byte // without its end; valid until the function that gets the hit returns
	Start   int    // where the line begins in the block
}

// Lines calls f for each pattern and line of the block that match, in the order
// of lines, and of patterns in a line. A line ends at a line feed or at the end
// of the block; a carriage return before it does not belong to the line.
func (s *Set) Lines(block []byte, f func(Hit)) {
	w := newWalk(s)
	w.reset(block, f)
	w.run()
}

// walk is one pass over a block.
type walk struct {
	set   *Set
	block []byte
	emit  func(Hit)

	start, end int // of the line in hand; end is after its line feed
	line       []byte
	tried      []int // for each pattern, the end of the last line that it was tried on
	runs       []int // for each pattern, on how many lines it was tried
	found      []int // patterns that match the line in hand

	cutBegin, cutEnd bool // the first line begins, the last line ends, in the middle of a longer one
}

func newWalk(s *Set) walk {
	return walk{set: s, tried: make([]int, len(s.patterns)), runs: make([]int, len(s.patterns))}
}

func (w *walk) reset(block []byte, emit func(Hit)) {
	w.block, w.emit = block, emit
	w.start, w.end, w.line, w.found = 0, 0, nil, w.found[:0]
	clear(w.tried)
}

func (w *walk) run() {
	f := &w.set.filter
	every := len(w.set.always) > 0
	f.each(w.block, func(at int) {
		f.at(w.block, at, func(p int) {
			if at >= w.end {
				w.moveTo(at, every)
			}
			w.try(p, at)
		})
	})
	w.moveTo(len(w.block), every)
}

// moveTo makes the line around at the one in hand. With every, lines between
// are not skipped.
func (w *walk) moveTo(at int, every bool) {
	w.finish()
	for every && w.end < len(w.block) {
		w.take(w.end, w.end)
		if w.end > at {
			return
		}
		w.finish()
	}
	if at < len(w.block) && at >= w.end {
		w.take(w.lastFeed(at), at)
	}
}

func (w *walk) lastFeed(at int) int {
	return w.end + bytes.LastIndexByte(w.block[w.end:at], '\n') + 1
}

// take makes the line that begins at start and has the byte at in it the one in hand.
func (w *walk) take(start, at int) {
	w.start, w.end = start, len(w.block)
	stop := len(w.block)
	if i := bytes.IndexByte(w.block[at:], '\n'); i >= 0 {
		stop, w.end = at+i, at+i+1
	}
	if stop > start && w.block[stop-1] == '\r' {
		stop--
	}
	w.line = w.block[start:stop]
}

// finish tries the patterns that every line is tried with, and tells what
// matches the line in hand.
func (w *walk) finish() {
	if w.line == nil {
		return
	}
	for _, p := range w.set.always {
		if w.matches(p) {
			w.found = append(w.found, p)
		}
	}
	if len(w.found) > 0 {
		slices.SortFunc(w.found, cmp.Compare)
		for _, p := range w.found {
			w.emit(Hit{Pattern: p, Line: w.line, Start: w.start})
		}
		w.found = w.found[:0]
	}
	w.line = nil
}

// try tries the pattern of a candidate on the line in hand, once for each line.
func (w *walk) try(p int, at int) {
	if at >= w.start+len(w.line) || w.tried[p] == w.end {
		return
	}
	w.tried[p] = w.end
	if w.matches(p) {
		w.found = append(w.found, p)
	}
}

// matches reports whether the pattern matches the line in hand. What touches an
// edge that was cut, and asks what stands there, does not count: the piece
// before or behind has it whole.
func (w *walk) matches(p int) bool {
	w.runs[p]++
	one := &w.set.patterns[p]
	first, last := w.cutBegin && w.start == 0, w.cutEnd && w.end == len(w.block)
	if one.re == nil || !first && !last || !one.edges {
		return one.matches(w.line)
	}
	loc := one.re.FindIndex(w.line)
	return loc != nil && (!first || loc[0] > 0) && (!last || loc[1] < len(w.line))
}

func (p *pattern) matches(line []byte) bool {
	if p.re == nil {
		return bytes.Contains(line, p.text)
	}
	return p.begins(line) && p.re.Match(line)
}

// begins reports whether the line begins as the pattern asks, which is much
// faster to see than that the expression does not match.
func (p *pattern) begins(line []byte) bool {
	if p.prefixes == nil {
		return true
	}
	for _, text := range p.prefixes {
		if hasFolded(line, text) {
			return true
		}
	}
	return false
}
