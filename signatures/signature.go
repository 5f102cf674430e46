// Package signatures says what failures look like. A signature names a cause,
// the texts by which it is recognised, and what to do about it; its samples
// prove it. A job log that is passed through a Classifier gets a verdict: the
// best cause, and every match that speaks for or against it.
package signatures

import (
	"fmt"
	"time"
)

// Action is what a signature asks for.
type Action string

// The actions.
const (
	Retry  Action = "retry"  // run the job again
	Report Action = "report" // tell people
	Alert  Action = "alert"  // raise an alert
	Leave  Action = "none"   // the job failed rightly: nothing may run it again
)

// Mode says how far a signature is trusted.
type Mode string

// The modes.
const (
	Shadow    Mode = "shadow" // counted only
	Reporting Mode = "report" // people are told what it would do
	Active    Mode = "active"
)

// Family is the signatures of one file.
type Family struct {
	Name        string      `yaml:"family"`
	Description string      `yaml:"description"`
	Signatures  []Signature `yaml:"signatures"`

	File string `yaml:"-"` // where it was read from
}

// Signature is what one kind of failure looks like, and what to do about it.
type Signature struct {
	Name        string          `yaml:"name"`        // unique over all families
	Cause       string          `yaml:"cause"`       // what is broken: dns, registry, compiler
	Description string          `yaml:"description"` // one sentence for people
	Owner       string          `yaml:"owner"`
	Link        string          `yaml:"link"`
	Patterns    []Text          `yaml:"patterns"` // one is enough; none if the scope says all
	Not         []Text          `yaml:"not"`      // one of these in the log vetoes the signature
	Scope       Scope           `yaml:"scope"`
	Action      Action          `yaml:"action"` // default retry
	Mode        Mode            `yaml:"mode"`   // default shadow
	Delays      []time.Duration `yaml:"delays"` // before each attempt; the last holds on; default 1m, 5m, 15m
	Limit       int             `yaml:"limit"`  // attempts; default 3
	Budget      Budget          `yaml:"budget"`
	Accuses     Accuses         `yaml:"accuses"`
	Samples     Samples         `yaml:"samples"`
	Expires     Date            `yaml:"expires"` // from that day on it is not used

	Family string `yaml:"-"` // that it is in
	File   string `yaml:"-"` // where it was read from, and its line there
	Line   int    `yaml:"-"`
}

// Text is one text to look for: exactly one of its first three fields is set.
type Text struct {
	Literal string   `yaml:"literal"` // stands in a line as it is
	Regex   string   `yaml:"regex"`   // RE2, matched against a line
	Lines   []string `yaml:"lines"`   // RE2 each; matched by lines in this order
	Within  int      `yaml:"within"`  // lines from the first to the last of Lines; default 10
}

// Scope says where a signature looks. An empty list is everywhere.
type Scope struct {
	Jobs           []string `yaml:"jobs"`            // RE2, for names of jobs
	Stages         []string `yaml:"stages"`          // names
	Runners        []string `yaml:"runners"`         // RE2, for descriptions of runners
	FailureReasons []string `yaml:"failure_reasons"` // as GitLab writes them
	ExitCodes      []int    `yaml:"exit_codes"`
	Sections       []string `yaml:"sections"`     // of the log, as GitLab marks them
	AfterScript    bool     `yaml:"after_script"` // also what after_script writes
	LastBytes      int64    `yaml:"last_bytes"`   // only in so many bytes at the end
}

// Budget bounds the attempts over all jobs.
type Budget struct {
	Retries int           `yaml:"retries"` // 0: no budget of its own
	Per     time.Duration `yaml:"per"`     // default 1h
}

// Accuses names the targets that the failure is blamed on: by the host that a
// pattern captured, or by what targets say that they provide.
type Accuses struct {
	Host     string `yaml:"host"`     // "$NAME" of a named group, or a host
	Provides string `yaml:"provides"` // as in a target's provides
}

// Samples prove a signature: lines, or several lines for a window.
type Samples struct {
	Match []string `yaml:"match"` // each is recognised
	Clean []string `yaml:"clean"` // none is, by this signature
}

// Date is a day, written 2027-06-30. The zero Date is none.
type Date struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Date) UnmarshalText(text []byte) (err error) {
	d.Time, err = time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is no day; write for example 2027-06-30", text)
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Date) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.Format(time.DateOnly)), nil
}

// Expired reports whether the signature is not used any more.
func (s *Signature) Expired(now time.Time) bool {
	return !s.Expires.IsZero() && !now.Before(s.Expires.Time)
}
