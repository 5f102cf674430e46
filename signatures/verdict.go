package signatures

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
)

// Match is where a text of a signature stands in a log.
type Match struct {
	Line     int    `json:"line"`      // counted from 1; of a window, its first
	LastLine int    `json:"last_line"` // of a window; else Line
	Offset   int64  `json:"offset"`    // of LastLine in the log, in bytes
	Section  string `json:"section,omitempty"`
	Excerpt  string `json:"excerpt"`
	Pattern  int    `json:"pattern"` // which of the signature's patterns, counted from 0
	Host     string `json:"host,omitempty"`
}

// Finding is a signature that a log speaks for.
type Finding struct {
	Signature  string  `json:"signature"`
	Family     string  `json:"family"`
	Cause      string  `json:"cause"`
	About      string  `json:"description,omitempty"`
	Owner      string  `json:"owner,omitempty"`
	Link       string  `json:"link,omitempty"`
	Action     Action  `json:"action"`
	Mode       Mode    `json:"mode"`
	Confidence float64 `json:"confidence"` // 0 to 1: see confidence
	Count      int     `json:"count"`      // of matches
	Matches    []Match `json:"matches,omitempty"`
	Vetoes     []Match `json:"vetoes,omitempty"` // what ruled it out
	Why        string  `json:"why"`              // one sentence

	overruled bool // ruled out by another finding, not by a text of its own

	// Whom it accuses: the hosts that were captured, and what targets provide.
	Hosts    []string `json:"hosts,omitempty"`
	Provides string   `json:"provides,omitempty"`
}

// Verdict is what a log and a job tell.
type Verdict struct {
	// Best is the most likely cause; nil if nothing was recognised.
	Best *Finding `json:"best"`
	// Findings are all that stand, the best first.
	Findings []Finding `json:"findings"`
	// Vetoed are those that a text in the log, or a better finding, ruled out.
	Vetoed []Finding `json:"vetoed,omitempty"`
	Bytes  int64     `json:"bytes"`
	Lines  int       `json:"lines"`
}

// Near is how many lines before the end of the log a match counts as the last
// words of the job.
const near = 100

func (c *Classifier) judge() Verdict {
	v := Verdict{Bytes: c.bytes, Lines: c.lines}
	for i, one := range c.set.signatures {
		f, ok := c.finding(one, &c.hits[i])
		switch {
		case !ok:
		case len(f.Vetoes) > 0:
			f.Why = fmt.Sprintf("line %d vetoes it", f.Vetoes[0].Line)
			v.Vetoed = append(v.Vetoed, f)
		default:
			v.Findings = append(v.Findings, f)
		}
	}
	v.overrule()
	slices.SortFunc(v.Findings, better)
	slices.SortFunc(v.Vetoed, better)
	if len(v.Findings) > 0 {
		v.Best = &v.Findings[0]
	}
	return v
}

// overrule rules out what asks for another run of a job that failed rightly: a
// text that forbids it counts more than one that allows it.
func (v *Verdict) overrule() {
	at := slices.IndexFunc(v.Findings, func(f Finding) bool { return f.Action == Leave && f.Mode == Active })
	if at < 0 {
		return
	}
	by := v.Findings[at]
	v.Findings = slices.DeleteFunc(v.Findings, func(f Finding) bool {
		if f.Action != Retry {
			return false
		}
		f.overruled = true
		f.Why = fmt.Sprintf("%s says that the job failed rightly", by.Signature)
		if len(by.Matches) > 0 {
			f.Vetoes = by.Matches[:1]
		}
		v.Vetoed = append(v.Vetoed, f)
		return true
	})
}

// better orders findings: what is trusted more, then what is surer, then what
// stands later in the log, then by name.
func better(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(rank(a.Mode), rank(b.Mode)),
		-cmp.Compare(a.Confidence, b.Confidence),
		-cmp.Compare(lastLine(a), lastLine(b)),
		cmp.Compare(a.Signature, b.Signature),
	)
}

func rank(m Mode) int { return slices.Index([]Mode{Active, Reporting, Shadow}, m) }

func lastLine(f Finding) int {
	if len(f.Matches) == 0 {
		return 0
	}
	return f.Matches[len(f.Matches)-1].LastLine
}

// finding is what was seen of a signature, not ok if it does not apply.
func (c *Classifier) finding(one *compiled, h *hits) (f Finding, ok bool) {
	matches := h.matches
	if from := c.bytes - one.Scope.LastBytes; one.Scope.LastBytes > 0 && !c.anywhere {
		matches = slices.DeleteFunc(slices.Clone(matches), func(m Match) bool { return m.Offset < from })
	}
	count := h.count
	if len(matches) < len(h.matches) {
		count = len(matches)
	}
	fits, asked := c.fits(one)
	if !fits || len(one.Patterns) > 0 && len(matches) == 0 || len(one.Patterns) == 0 && !asked {
		return f, false
	}
	f = Finding{
		Signature: one.Name, Family: one.Family, Cause: one.Cause, About: one.Description, Owner: one.Owner, Link: one.Link, Action: one.Action, Mode: one.Mode,
		Count: count, Matches: matches, Vetoes: h.vetoes, Provides: one.Accuses.Provides, Hosts: hosts(one, matches),
	}
	f.Confidence, f.Why = c.confidence(one, f, asked)
	return f, true
}

// fits holds the scope against the job. asked is whether it asks for a reason or
// an exit code, which the job has.
func (c *Classifier) fits(one *compiled) (fits, asked bool) {
	s, j := one.Scope, c.job
	switch {
	case j.Name != "" && len(one.jobs) > 0 && !anyOf(one.jobs, j.Name),
		j.Runner != "" && len(one.runners) > 0 && !anyOf(one.runners, j.Runner),
		j.Stage != "" && len(s.Stages) > 0 && !slices.Contains(s.Stages, j.Stage),
		j.FailureReason != "" && len(s.FailureReasons) > 0 && !slices.Contains(s.FailureReasons, j.FailureReason),
		j.ExitCode != nil && len(s.ExitCodes) > 0 && !slices.Contains(s.ExitCodes, *j.ExitCode):
		return false, false
	}
	return true, j.FailureReason != "" && len(s.FailureReasons) > 0 || j.ExitCode != nil && len(s.ExitCodes) > 0
}

func anyOf(list []*regexp.Regexp, text string) bool {
	return slices.ContainsFunc(list, func(re *regexp.Regexp) bool { return re.MatchString(text) })
}

// confidence starts at 0.6 for a text that was found, and grows with what else
// speaks for it: that it stands among the last lines (0.2), that the job's
// failure reason or exit code is one that the signature asks for (0.15), that
// several of its texts were found (0.05). A reason or exit code alone is 0.7.
func (c *Classifier) confidence(one *compiled, f Finding, asked bool) (sure float64, why string) {
	if len(one.Patterns) == 0 {
		return 0.7, "the job's failure reason or exit code says so"
	}
	last := f.Matches[len(f.Matches)-1]
	sure, why = 0.6, fmt.Sprintf("line %d matches", last.LastLine)
	if c.lines-last.LastLine < near {
		sure, why = sure+0.2, why+", near the end of the log"
	}
	if asked {
		sure, why = sure+0.15, why+", and so says how the job ended"
	}
	if slices.ContainsFunc(f.Matches, func(m Match) bool { return m.Pattern != last.Pattern }) {
		sure, why = sure+0.05, why+", and so do others of its texts"
	}
	return sure, why
}

// hosts are those that the signature accuses.
func hosts(one *compiled, matches []Match) (names []string) {
	if one.capture == "" {
		if one.Accuses.Host != "" {
			return []string{one.Accuses.Host}
		}
		return nil
	}
	for _, m := range matches {
		if m.Host != "" && !slices.Contains(names, m.Host) {
			names = append(names, m.Host)
		}
	}
	return names
}
