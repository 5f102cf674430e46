// Package record is what the ledger answers, as plain data: the Go methods
// return these types, the API writes them as JSON, and the client reads them
// back. Times are UTC; lengths are seconds, so that any tool can add them up.
package record

import (
	"encoding/json"
	"time"

	"github.com/colliehq/collie/signal"
)

// Target is a target as the record knows it now.
type Target struct {
	Name      string       `json:"name"`
	State     signal.State `json:"state"`
	Since     time.Time    `json:"since"`              // the state holds since then
	Reason    string       `json:"reason,omitempty"`   // why it is in this state, from the closed list of the probes
	Cause     string       `json:"cause,omitempty"`    // the same as a sentence
	Rule      string       `json:"rule,omitempty"`     // what made this the verdict
	Evidence  string       `json:"evidence,omitempty"` // the failing exchange
	Tier      string       `json:"tier,omitempty"`
	Probe     string       `json:"probe,omitempty"`
	Address   string       `json:"address,omitempty"`
	Every     string       `json:"every,omitempty"` // the probe interval, as Go writes durations
	DependsOn []string     `json:"depends_on,omitempty"`
	Provides  []string     `json:"provides,omitempty"`

	Source   string     `json:"source"`              // the exporter that looks at it
	LastSeen *time.Time `json:"last_seen,omitempty"` // the exporter looked until then; absent before its first lease
	Blind    bool       `json:"blind"`               // the exporter's lease ran out: nobody is looking
	Removed  bool       `json:"removed,omitempty"`   // it left the configuration

	First       time.Time `json:"first"`                  // the record begins
	LastFailure *Failure  `json:"last_failure,omitempty"` // the newest failure, also one that is over
}

// Failure is why a target failed.
type Failure struct {
	At       time.Time    `json:"at"`
	State    signal.State `json:"state"` // the verdict then: suspect or down
	Reason   string       `json:"reason,omitempty"`
	Cause    string       `json:"cause,omitempty"`
	Evidence string       `json:"evidence,omitempty"`
}

// Interval is a stretch in which a target was in one state. The intervals of a
// target neither overlap nor leave gaps.
type Interval struct {
	Target   string       `json:"target"`
	State    signal.State `json:"state"`
	From     time.Time    `json:"from"`
	To       *time.Time   `json:"to"`      // null while it lasts
	Seconds  float64      `json:"seconds"` // until now while it lasts
	Reason   string       `json:"reason,omitempty"`
	Cause    string       `json:"cause,omitempty"`
	Rule     string       `json:"rule,omitempty"`
	Evidence string       `json:"evidence,omitempty"`
	Source   string       `json:"source"`
}

// How a downtime ended, beside the states that can end one.
const (
	StillDown = "open"  // it did not
	Blind     = "blind" // nobody looked after To; it may have lasted longer
)

// Downtime runs from the first failed result to the recovery.
type Downtime struct {
	Target   string     `json:"target"`
	From     time.Time  `json:"from"`
	To       *time.Time `json:"to"`                 // null while it lasts
	End      string     `json:"end"`                // "open", "blind", or the state that ended it: up, degraded, maintenance
	Seconds  float64    `json:"seconds"`            // of being down, without blind stretches
	Window   float64    `json:"window_seconds"`     // the part of Seconds between since and until
	Unknown  float64    `json:"unknown_seconds"`    // blind stretches inside of it
	Reason   string     `json:"reason,omitempty"`   // why it went down
	Cause    string     `json:"cause,omitempty"`    //
	Rule     string     `json:"rule,omitempty"`     //
	Evidence string     `json:"evidence,omitempty"` //
}

// Availability is how a target did in a window, or in one calendar month of it.
// A suspect stretch counts as what followed it.
type Availability struct {
	Target string    `json:"target"`
	Month  string    `json:"month,omitempty"` // "2026-03", when asked for by month
	From   time.Time `json:"from"`            // the recorded part of the window
	To     time.Time `json:"to"`

	Ratio *float64 `json:"availability"` // (up+degraded)/(up+degraded+down); null if none of these was seen

	Up          float64 `json:"up_seconds"`
	Degraded    float64 `json:"degraded_seconds"`
	Down        float64 `json:"down_seconds"`
	Unknown     float64 `json:"unknown_seconds"`     // beside the ratio, as the ones below
	Unreachable float64 `json:"unreachable_seconds"` //
	Maintenance float64 `json:"maintenance_seconds"` //
	Undecided   float64 `json:"undecided_seconds"`   // suspect, and nothing followed yet
}

// Entry is a signal in the journal.
type Entry struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`       // observed
	Recorded time.Time       `json:"recorded"` // written to the journal
	Kind     signal.Kind     `json:"kind"`
	Subject  string          `json:"subject"`
	Source   string          `json:"source"`
	Status   signal.Status   `json:"status,omitempty"`
	Seq      uint64          `json:"seq,omitempty"`
	Summary  string          `json:"summary"` // one line for people
	Signal   json.RawMessage `json:"signal"`  // all of it, a CloudEvents 1.0 structured event
}

// What a step of a story tells.
const (
	Seen      = "seen"      // somebody or something saw it
	Decided   = "decided"   // a rule made a verdict of it
	Delivered = "delivered" // somebody was told, or something was done
)

// Step is one event of a story.
type Step struct {
	At     time.Time   `json:"at"`
	What   string      `json:"what"` // seen, decided or delivered
	Text   string      `json:"text"`
	Verb   string      `json:"verb,omitempty"`   // of an action, from the closed list of its room
	Detail string      `json:"detail,omitempty"` // the evidence; several lines
	Kind   signal.Kind `json:"kind"`
	Source string      `json:"source"`
	Entry  int64       `json:"entry"` // in the journal
}

// Story says why a subject is as it is: what was seen, decided and delivered,
// oldest first.
type Story struct {
	Subject string     `json:"subject"`
	Summary string     `json:"summary"` // "down", "up"; for other subjects the newest step
	Since   *time.Time `json:"since,omitempty"`
	Target  *Target    `json:"target,omitempty"` // for subjects that are targets
	Earlier bool       `json:"earlier"`          // the journal has more, before the first step
	Steps   []Step     `json:"steps"`
}

// Page is a part of an answer.
type Page[T any] struct {
	Items []T
	Next  string // the cursor of the next page; empty on the last one
}
