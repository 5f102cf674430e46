package signatures

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/colliehq/collie/internal/match"
)

// Job is what is known of a job beside its log. What is empty, or nil, is not
// known: a scope that asks for it neither holds nor rules a signature out.
type Job struct {
	Name          string
	Stage         string
	Runner        string // its description
	FailureReason string
	ExitCode      *int
}

// Bounds of what a verdict keeps.
const (
	maxMatches = 20  // of a signature; all are counted
	maxExcerpt = 512 // bytes
)

// Classifier reads the log of one job. It needs the same memory for any log.
type Classifier struct {
	set      *Set
	job      Job
	stream   *match.Stream
	hits     []hits // for each signature
	anywhere bool   // scopes do not count: samples are tried
	after    bool   // a line said that after_script begins
	bytes    int64
	lines    int
	last     byte
}

// hits are what was seen of one signature.
type hits struct {
	matches []Match // the first maxMatches-1 and the last
	count   int
	vetoes  []Match
	windows [][]progress // of its texts, by their steps
}

// progress is how far a window has come: where its first line stood, and its
// last so far.
type progress struct{ first, last int }

// Classifier returns a Classifier for the log of a job.
func (s *Set) Classifier(job Job) *Classifier {
	c := &Classifier{set: s, job: job, hits: make([]hits, len(s.signatures))}
	c.stream = s.matcher.Stream(c.found)
	return c
}

// Write takes a part of the log.
func (c *Classifier) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	c.lines += bytes.Count(p, []byte{'\n'})
	if len(p) > 0 {
		c.last = p[len(p)-1]
	}
	return c.stream.Write(p)
}

// Verdict says what the log, as far as it was written, and the job tell. The
// Classifier is used up.
func (c *Classifier) Verdict() Verdict {
	if err := c.stream.Close(); err != nil {
		panic(err) // a stream never fails to close
	}
	if c.bytes > 0 && c.last != '\n' {
		c.lines++
	}
	v := c.judge()
	if c.set.metrics != nil {
		c.set.metrics.count(c.set, v, c.tried())
	}
	return v
}

// tried is on how many lines the texts of each signature were tried.
func (c *Classifier) tried() []int {
	lines := make([]int, len(c.set.signatures))
	for pattern, u := range c.set.uses {
		if u.signature >= 0 {
			lines[u.signature] += c.stream.Tried(pattern)
		}
	}
	return lines
}

// found takes a line that a pattern matches.
func (c *Classifier) found(f match.Found) {
	u := c.set.uses[f.Pattern]
	if u.signature < 0 {
		c.after = true
		return
	}
	one := c.set.signatures[u.signature]
	if !c.inScope(one, f.Section) {
		return
	}
	h, t := &c.hits[u.signature], one.texts[u.text]
	line := f.Line
	if t.steps > 1 {
		first, complete := h.step(len(one.texts), u.text, u.step, t, f.Line)
		if !complete {
			return
		}
		line = first
	}
	m := Match{Line: line, LastLine: f.Line, Offset: f.Offset, Section: f.Section, Excerpt: excerpt(f.Text), Pattern: t.index}
	if t.veto {
		if len(h.vetoes) < maxMatches {
			h.vetoes = append(h.vetoes, m)
		}
		return
	}
	if one.capture != "" {
		m.Host = captured(t.lines, one.capture, f.Text)
	}
	h.add(m)
}

// inScope reports whether the signature looks at this part of the log.
func (c *Classifier) inScope(one *compiled, section string) bool {
	if c.anywhere {
		return true
	}
	if (section == "after_script" || c.after) && !one.Scope.AfterScript {
		return false
	}
	return len(one.Scope.Sections) == 0 || slices.Contains(one.Scope.Sections, section)
}

func (h *hits) add(m Match) {
	h.count++
	if len(h.matches) == maxMatches {
		h.matches[maxMatches-1] = m
		return
	}
	h.matches = append(h.matches, m)
}

// step notes a line of a window, and reports where the window began if the line
// completes it.
func (h *hits) step(texts, text, step int, t text, line int) (first int, complete bool) {
	if h.windows == nil {
		h.windows = make([][]progress, texts)
	}
	if h.windows[text] == nil {
		h.windows[text] = make([]progress, t.steps)
	}
	w := h.windows[text]
	next := progress{line, line}
	if step > 0 {
		before := w[step-1]
		if before.first == 0 || before.last >= line || line-before.first >= t.within {
			return 0, false
		}
		next.first = before.first
	}
	w[step] = next
	return next.first, step == t.steps-1
}

// captured is what the named group of one of the expressions holds.
func captured(lines []*regexp.Regexp, name string, line []byte) string {
	for _, re := range lines {
		i := re.SubexpIndex(name)
		if i < 0 {
			continue
		}
		if m := re.FindSubmatch(line); m != nil && len(m[i]) > 0 {
			return strings.ToValidUTF8(string(m[i]), "")
		}
	}
	return ""
}

// excerpt is the line as people are shown it: valid UTF-8, what a terminal would
// leave of a progress bar, and not too long.
func excerpt(line []byte) string {
	if at := bytes.LastIndexByte(bytes.TrimRight(line, "\r"), '\r'); at >= 0 {
		line = line[at+1:]
	}
	if len(line) > maxExcerpt {
		line = line[:maxExcerpt]
		for len(line) > 0 && !utf8.RuneStart(line[len(line)-1]) {
			line = line[:len(line)-1]
		}
	}
	return strings.Map(printable, strings.TrimSpace(strings.ToValidUTF8(string(line), "�")))
}

func printable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}
