package signatures

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/match"
)

// Levels of a remark.
const (
	Wrong    = "error"
	Doubtful = "warning"
)

// Remark is what lint says about a signature.
type Remark struct {
	Level     string `json:"level"`
	Check     string `json:"check"` // expired, sample, literal, short, duplicate, shadowed, broad
	Signature string `json:"signature"`
	File      string `json:"file"`
	Line      int    `json:"line"`
	Message   string `json:"message"`
}

func (r Remark) String() string {
	message := r.Message
	if r.Signature != "" {
		message = r.Signature + ": " + message
	}
	return fmt.Sprintf("%s:%d: %s: %s (%s)", r.File, r.Line, r.Level, message, r.Check)
}

// Corpus is a log in which nothing failed that a retry would mend.
type Corpus struct {
	Name string
	Text []byte
}

// broad is how many lines of a corpus an active signature may match.
const broad = 0

// Lint looks for what is wrong, doubtful or slow. It measures what patterns
// without a literal cost.
func Lint(families []Family, now time.Time, clean []Corpus) ([]Remark, error) {
	l := &linter{now: now}
	proof, err := Prove(families)
	if err != nil {
		return nil, err
	}
	for _, m := range proof.Wrong {
		l.remarks = append(l.remarks, Remark{Wrong, "sample", "", m.File, m.Line, m.Message})
	}
	set, err := Compile(families, time.Time{})
	if err != nil {
		return nil, err
	}
	for _, one := range set.signatures {
		l.expired(one)
		l.shadowed(set, one)
	}
	l.patterns(set)
	l.duplicates(set)
	for _, c := range clean {
		l.broad(set, c)
	}
	slices.SortStableFunc(l.remarks, func(a, b Remark) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Check, b.Check))
	})
	return l.remarks, nil
}

type linter struct {
	now     time.Time
	remarks []Remark
}

func (l *linter) say(one *compiled, level, check, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{level, check, one.Name, one.File, one.Line, fmt.Sprintf(format, args...)})
}

func (l *linter) expired(one *compiled) {
	const soon = 30 * 24 * time.Hour
	switch {
	case one.Expired(l.now):
		l.say(one, Wrong, "expired", "expired on %s: prove that it is still needed and set a later day, or remove it", one.Expires.Format(time.DateOnly))
	case one.Expired(l.now.Add(soon)):
		l.say(one, Doubtful, "expired", "expires on %s", one.Expires.Format(time.DateOnly))
	}
}

// shadowed is a signature that is never the best for any of its own samples.
func (l *linter) shadowed(set *Set, one *compiled) {
	by := ""
	for _, sample := range one.Samples.Match {
		c := set.Classifier(Job{})
		c.anywhere = true
		_, _ = c.Write([]byte(sample))
		best := c.Verdict().Best
		if best == nil || best.Signature == one.Name || best.Cause == one.Cause {
			return
		}
		by = best.Signature
	}
	if by != "" {
		l.say(one, Doubtful, "shadowed", "each of its samples is taken by %s, whose cause is another", by)
	}
}

// patterns looks at how each pattern can be searched for.
func (l *linter) patterns(set *Set) {
	const long = 7 // bytes from which on every fourth place of a log is enough
	for i, u := range set.uses {
		if u.signature < 0 {
			continue
		}
		one := set.signatures[u.signature]
		texts := set.matcher.Required(i)
		if len(texts) == 0 {
			l.say(one, Doubtful, "literal", "pattern %d has no literal text of three bytes: it is tried on every line, at %s MB/s",
				one.texts[u.text].index, speed(set.matcher.Pattern(i).Expr))
			continue
		}
		for _, text := range texts {
			if len(text) < long {
				l.say(one, Doubtful, "short", "pattern %d asks only for %q: fewer than %d bytes slow down the search for all signatures", one.texts[u.text].index, text, long)
				break
			}
		}
	}
}

// speed is how fast a pattern alone is, measured on lines of a common kind.
func speed(expr string) string {
	text := bytes.Repeat([]byte("2026-11-22T10:00:00Z runner[4711]: step 12 of 80: copying artifacts/build/objects/module_17.o (12345 bytes) done\n"), 4000)
	set, err := match.Compile([]match.Pattern{{Expr: expr}})
	if err != nil {
		return "no"
	}
	start := time.Now()
	set.Lines(text, func(match.Hit) {})
	return fmt.Sprintf("%.1f", float64(len(text))/1e6/time.Since(start).Seconds())
}

func (l *linter) duplicates(set *Set) {
	type key struct {
		expr    string
		literal bool
		veto    bool
	}
	first := map[key]int{}
	for i, u := range set.uses {
		if u.signature < 0 || set.signatures[u.signature].texts[u.text].steps > 1 {
			continue
		}
		one := set.signatures[u.signature]
		p := set.matcher.Pattern(i)
		k := key{p.Expr, p.Literal, one.texts[u.text].veto}
		if at, ok := first[k]; ok && !k.veto {
			l.say(one, Wrong, "duplicate", "%q is a pattern of %s too", p.Expr, set.signatures[at].Name)
			continue
		}
		first[k] = u.signature
	}
}

// broad is a signature that asks for a retry and recognises what did not fail.
func (l *linter) broad(set *Set, c Corpus) {
	job := set.Classifier(Job{})
	job.anywhere = true
	_, _ = job.Write(c.Text)
	for _, f := range job.Verdict().Findings {
		if f.Count <= broad || f.Action != Retry {
			continue
		}
		at := slices.IndexFunc(set.signatures, func(one *compiled) bool { return one.Name == f.Signature })
		l.say(set.signatures[at], Wrong, "broad", "matches %d times in %s, where nothing failed; first line %d: %q", f.Count, c.Name, f.Matches[0].Line, f.Matches[0].Excerpt)
	}
}
