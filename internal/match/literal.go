package match

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is worked out of an expression.
const (
	maxTexts = 64 // texts of which one is required
	maxClass = 16 // members of a class that are written out
	maxText  = 64 // bytes of a text
)

// known is what is known of the texts that an expression matches. All texts are
// folded: see fold.
type known struct {
	exact    []string // all that it matches, if isExact
	isExact  bool
	required []string // one of them stands in every match; nil: nothing is known
}

var anything = known{}

// required returns texts of which one stands, folded, in every match; nil if
// none are known.
func required(re *syntax.Regexp) []string {
	return know(re).best()
}

// prefixes returns texts of which one begins, folded, every line that the
// expression matches: it asks for the begin of the line and goes on with texts
// that are known. nil if there are none.
func prefixes(re *syntax.Regexp) []string {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText && re.Sub[0].Op != syntax.OpBeginLine {
		return nil
	}
	run := []string{""}
	for _, sub := range re.Sub[1:] {
		again := sub.Op == syntax.OpPlus // the first time is certain
		if again {
			sub = sub.Sub[0]
		}
		k := know(sub)
		joined, ok := cross(run, k.exact)
		if !k.isExact || !ok {
			break
		}
		run = joined
		if again {
			break
		}
	}
	if slices.Contains(run, "") {
		return nil
	}
	return run
}

// best is the more telling of what is known.
func (k known) best() []string {
	if k.isExact {
		return better(k.exact, k.required)
	}
	return k.required
}

func exactly(texts ...string) known { return known{exact: texts, isExact: true} }

func know(re *syntax.Regexp) known {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return exactly("")
	case syntax.OpLiteral:
		return knowLiteral(re.Rune, re.Flags&syntax.FoldCase != 0)
	case syntax.OpCharClass:
		return knowClass(re.Rune)
	case syntax.OpCapture:
		return know(re.Sub[0])
	case syntax.OpConcat:
		return knowConcat(re.Sub)
	case syntax.OpAlternate:
		return knowAlternate(re.Sub)
	case syntax.OpQuest:
		if k := know(re.Sub[0]); k.isExact && len(k.exact) < maxClass {
			return exactly(merge(k.exact, []string{""})...)
		}
		return anything
	case syntax.OpPlus:
		return known{required: know(re.Sub[0]).best()}
	case syntax.OpRepeat:
		if re.Min > 0 {
			return known{required: know(re.Sub[0]).best()}
		}
		return anything
	case syntax.OpNoMatch, syntax.OpAnyCharNotNL, syntax.OpAnyChar, syntax.OpStar:
		return anything
	}
	return anything
}

// knowLiteral knows each rune as a class of its own: with (?i) a rune may be
// written in ways that fold does not join, as k and the Kelvin sign.
func knowLiteral(runes []rune, foldCase bool) known {
	parts := make([]known, len(runes))
	for i, r := range runes {
		parts[i] = knowRune(r, foldCase)
	}
	return concat(parts)
}

func knowRune(r rune, foldCase bool) known {
	if r == utf8.RuneError { // matches every byte that is no UTF-8
		return anything
	}
	forms := []string{fold(string(r))}
	for next := unicode.SimpleFold(r); foldCase && next != r; next = unicode.SimpleFold(next) {
		forms = merge(forms, []string{fold(string(next))})
	}
	return exactly(forms...)
}

// knowClass writes a small class out. Pairs are the first and last of a range.
func knowClass(pairs []rune) known {
	var forms []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1]-pairs[i] > 2*maxClass || pairs[i] <= utf8.RuneError && utf8.RuneError <= pairs[i+1] {
			return anything
		}
		for r := pairs[i]; r <= pairs[i+1]; r++ {
			forms = merge(forms, []string{fold(string(r))})
		}
	}
	if len(forms) == 0 || len(forms) > maxClass {
		return anything
	}
	return exactly(forms...)
}

func knowConcat(subs []*syntax.Regexp) known {
	parts := make([]known, len(subs))
	for i, sub := range subs {
		parts[i] = know(sub)
	}
	return concat(parts)
}

// concat joins neighbours whose texts are all known into longer texts, and
// remembers the most telling of those that could not be joined further.
func concat(parts []known) known {
	run, whole := exactly(""), true
	var best []string
	flush := func() {
		best = better(best, run.exact)
		run, whole = exactly(""), false
	}
	for _, p := range parts {
		best = better(best, p.required)
		if !p.isExact {
			flush()
			continue
		}
		joined, ok := cross(run.exact, p.exact)
		if !ok {
			flush()
			joined = p.exact
		}
		run.exact = joined
	}
	if whole {
		return known{exact: run.exact, isExact: true, required: best}
	}
	return known{required: better(best, run.exact)}
}

// cross is every text of a followed by every text of b; not ok if they become
// too many or too long.
func cross(a, b []string) (joined []string, ok bool) {
	if len(a)*len(b) > maxClass {
		return nil, false
	}
	for _, x := range a {
		for _, y := range b {
			if len(x)+len(y) > maxText {
				return nil, false
			}
			joined = append(joined, x+y)
		}
	}
	return joined, true
}

// knowAlternate is what is known of each branch, together.
func knowAlternate(subs []*syntax.Regexp) known {
	all := known{isExact: true}
	missing := false
	for _, sub := range subs {
		k := know(sub)
		all.isExact = all.isExact && k.isExact
		all.exact = merge(all.exact, k.exact)
		best := k.best()
		missing = missing || len(useful(best)) == 0
		all.required = merge(all.required, best)
	}
	if !all.isExact || len(all.exact) > maxClass {
		all.isExact, all.exact = false, nil
	}
	if missing || len(all.required) > maxTexts {
		all.required = nil
	}
	return all
}

func merge(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// better is the set that fewer lines will hold a text of.
func better(a, b []string) []string {
	if len(useful(b)) == 0 || len(useful(a)) > 0 && cost(a) <= cost(b) {
		return a
	}
	return b
}

// useful is the set without texts that stand in one that is longer; nil if one
// is too short to be looked for.
func useful(texts []string) []string {
	var kept []string
	for i, s := range texts {
		if len(s) < minText {
			return nil
		}
		part := func(other string) bool { return strings.Contains(s, other) && len(other) < len(s) }
		if !slices.ContainsFunc(texts, part) && !slices.Contains(texts[:i], s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// fold makes ASCII letters small. What is looked for and what is looked at are
// folded, so that one table serves both kinds of patterns; the expression
// decides.
func fold(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
