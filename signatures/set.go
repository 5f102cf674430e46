package signatures

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/match"
)

// Set is signatures, compiled. Many jobs may be classified with it at once.
type Set struct {
	signatures []*compiled
	matcher    *match.Set
	uses       []use    // what each pattern of the matcher is for
	metrics    *Metrics // nil: nobody counts
}

// compiled is a signature with its expressions.
type compiled struct {
	Signature
	jobs, runners []*regexp.Regexp
	capture       string // the group that accuses, or empty
	texts         []text // those of Patterns, then those of Not
}

// text is one entry of patterns or of not.
type text struct {
	veto   bool
	index  int // among the patterns, or among the vetoes
	steps  int // lines of a window; 1 for a single line
	within int
	lines  []*regexp.Regexp // for the capture; nil unless it accuses
}

// use says what a pattern of the matcher is: a step of a text of a signature.
type use struct{ signature, text, step int }

// Compile makes a Set of the signatures that are not expired.
func Compile(families []Family, now time.Time) (*Set, error) {
	s := &Set{}
	patterns := []match.Pattern{{Expr: afterScript}}
	s.uses = []use{{signature: -1}}
	for _, f := range families {
		for _, one := range f.Signatures {
			if one.Expired(now) {
				continue
			}
			c, err := compile(one)
			if err != nil {
				return nil, fmt.Errorf("signature %s: %w", one.Name, err)
			}
			patterns = s.add(c, patterns)
		}
	}
	matcher, err := match.Compile(patterns)
	if err != nil {
		return nil, fmt.Errorf("signatures: %w", err)
	}
	s.matcher = matcher
	return s, nil
}

// afterScript is what GitLab's runner writes before a job's after_script.
const afterScript = `^Running after_script`

func compile(one Signature) (*compiled, error) {
	c := &compiled{Signature: one}
	var err error
	if c.jobs, err = expressions(one.Scope.Jobs); err != nil {
		return nil, err
	}
	if c.runners, err = expressions(one.Scope.Runners); err != nil {
		return nil, err
	}
	c.capture, _ = one.capture()
	for i, t := range one.Patterns {
		c.texts = append(c.texts, text{index: i, steps: max(1, len(t.Lines)), within: t.Within})
		if c.capture != "" {
			last := &c.texts[len(c.texts)-1]
			if last.lines, err = expressions(t.expressions()); err != nil {
				return nil, err
			}
		}
	}
	for i, t := range one.Not {
		c.texts = append(c.texts, text{veto: true, index: i, steps: max(1, len(t.Lines)), within: t.Within})
	}
	return c, nil
}

func expressions(list []string) (all []*regexp.Regexp, err error) {
	for _, expr := range list {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		all = append(all, re)
	}
	return all, nil
}

// expressions are those of the lines of a text; none for a literal.
func (t Text) expressions() []string {
	switch {
	case t.Regex != "":
		return []string{t.Regex}
	default:
		return t.Lines
	}
}

// add appends the patterns of a signature. The steps of a window stand in
// reverse, so that a line that could be two steps is taken as the later first.
func (s *Set) add(c *compiled, patterns []match.Pattern) []match.Pattern {
	at := len(s.signatures)
	s.signatures = append(s.signatures, c)
	for i, t := range slices.Concat(c.Patterns, c.Not) {
		if t.Literal != "" {
			patterns = append(patterns, match.Pattern{Expr: t.Literal, Literal: true})
			s.uses = append(s.uses, use{at, i, 0})
			continue
		}
		exprs := t.expressions()
		for step, expr := range slices.Backward(exprs) {
			patterns = append(patterns, match.Pattern{Expr: expr})
			s.uses = append(s.uses, use{at, i, step})
		}
	}
	return patterns
}

// Len is the number of signatures.
func (s *Set) Len() int { return len(s.signatures) }

// Names are those of the signatures.
func (s *Set) Names() []string {
	names := make([]string, len(s.signatures))
	for i, c := range s.signatures {
		names[i] = c.Name
	}
	return names
}
