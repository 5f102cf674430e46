// Package verdict decides what the results of a probe mean: a pure state
// machine from results and times to states. It has no clock and does no I/O, so
// that live targets, recorded results and tests go through the same code.
//
//	unknown, up --failure--> suspect (at once down if the window is met)
//	suspect --window met--> down
//	suspect --success--> up
//	down --up_after successes--> up
//	any --nobody looked--> unknown
//
// The machine judges results only. The states that come from elsewhere
// (unreachable from what a target depends on, maintenance from a plan) lay
// themselves over its state and leave its memory alone; degraded is a third
// outcome of a result beside success and failure.
package verdict

import (
	"fmt"
	"time"

	"github.com/colliehq/collie/signal"
)

// Rule is when a target is down and when it is up again.
type Rule struct {
	DownAfter Window
	UpAfter   int           // successes in a row that end down; below 1 means 1
	Silence   time.Duration // for a heartbeat: down after this long without a ping
}

// down says the rule that made a target down.
func (r Rule) down() string {
	if r.Silence > 0 {
		return fmt.Sprintf("no ping for %s", r.Silence)
	}
	return r.DownAfter.text()
}

func (r Rule) up() string {
	switch {
	case r.Silence > 0:
		return "a ping arrived"
	case r.UpAfter > 1:
		return fmt.Sprintf("%d succeeded in a row", r.UpAfter)
	default:
		return "1 succeeded"
	}
}

// Result is one result of a target, as far as the verdict needs it.
type Result struct {
	At       time.Time // when it came in
	Success  bool
	Reason   string // from the closed list of the probes; empty on success
	Cause    string // one sentence
	Evidence string // the failing exchange
}

// Machine is the state of one target and what is needed to judge its next
// result. It is a value: its methods return the changed copy. Its JSON form
// survives restarts. The zero Machine is a target never looked at.
type Machine struct {
	State signal.State `json:"state"`
	Since time.Time    `json:"since"` // from which moment State holds

	// Before is the state that a blind stretch interrupted. A target that was
	// down when we last looked, and fails when we look again, is down: no
	// second window has to pass.
	Before signal.State `json:"before,omitempty"`

	// Failing is when the present run of failed results began; zero after a
	// success.
	Failing  time.Time `json:"failing,omitzero"`
	Reason   string    `json:"reason,omitempty"` // of the last failed result of the run
	Cause    string    `json:"cause,omitempty"`
	Evidence string    `json:"evidence,omitempty"`

	History   uint64 `json:"history,omitempty"`   // bit 0 is the newest result, 1 a failure
	Successes int    `json:"successes,omitempty"` // in a row, while down
}

// Transition is a change of state.
type Transition struct {
	From, To signal.State
	At       time.Time // from this moment To holds; never before the last one
	Started  time.Time // of suspect and down: when the first failed result came in
	Reason   string    // of suspect and down: of the deciding result
	Cause    string
	Evidence string
	Rule     string // what made this the verdict
}

// New is the machine of a target that nobody looked at before at.
func New(at time.Time) Machine { return Machine{State: signal.Unknown, Since: at} }

// Apply judges one result. It returns the changed machine and, if the state
// changed, the transition.
func (m Machine) Apply(rule Rule, r Result) (Machine, *Transition) {
	if m.State == "" {
		m = New(r.At)
	}
	if r.Success {
		return m.succeed(rule, r)
	}
	return m.fail(rule, r)
}

func (m Machine) succeed(rule Rule, r Result) (Machine, *Transition) {
	m.History <<= 1
	if m.State == signal.Down {
		if m.Successes++; m.Successes < max(rule.UpAfter, 1) {
			return m, nil
		}
		// The window starts anew, or the failures that made it down would make
		// it down again at the next single one.
		m.History = 0
	}
	m.Failing, m.Reason, m.Cause, m.Evidence, m.Successes, m.Before = time.Time{}, "", "", "", 0, ""
	if m.State == signal.Up {
		return m, nil
	}
	return m.enter(Transition{To: signal.Up, At: r.At, Rule: rule.up()})
}

func (m Machine) fail(rule Rule, r Result) (Machine, *Transition) {
	m.History = m.History<<1 | 1
	m.Successes = 0
	if m.Failing.IsZero() {
		m.Failing = r.At
	}
	m.Reason, m.Cause, m.Evidence = r.Reason, r.Cause, r.Evidence
	t := Transition{
		To: signal.Suspect, At: r.At, Started: m.Failing, Rule: "1 failed, not yet " + rule.down(),
		Reason: r.Reason, Cause: r.Cause, Evidence: r.Evidence,
	}
	switch {
	case m.State == signal.Down:
		return m, nil
	case rule.DownAfter.met(m.History):
		t.To, t.Rule = signal.Down, rule.down()
	case m.State == signal.Unknown && m.Before == signal.Down:
		t.To, t.Rule = signal.Down, "failed again after it was down when last seen"
	case m.State == signal.Suspect:
		return m, nil
	}
	m.Before = ""
	return m.enter(t)
}

// Blind says that nobody looked from at on: results before it no longer count
// towards a window. It returns the changed machine and, unless the state was
// unknown already, the transition. The rule says why nobody looked.
func (m Machine) Blind(at time.Time, rule string) (Machine, *Transition) {
	if m.State == "" {
		m = New(at)
	}
	before := m.State
	m.Failing, m.Reason, m.Cause, m.Evidence = time.Time{}, "", "", ""
	m.History, m.Successes = 0, 0
	if before == signal.Unknown {
		return m, nil // Before keeps what it knows
	}
	m.Before = before
	return m.enter(Transition{To: signal.Unknown, At: at, Rule: rule})
}

func (m Machine) enter(t Transition) (Machine, *Transition) {
	t.From = m.State
	if t.At.Before(m.Since) { // times of one target never go back
		t.At = m.Since
	}
	m.State, m.Since = t.To, t.At
	return m, &t
}
