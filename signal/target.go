package signal

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Topics of the queue that rooms share.
const (
	TopicSignals = "signals" // every Signal, as its JSON form
	TopicLeases  = "leases"  // every Lease, as JSON
)

// State is the verdict on a target.
type State string

// The states of a target.
const (
	Up          State = "up"
	Degraded    State = "degraded"    // works, but not as it should
	Suspect     State = "suspect"     // the first failed result, not yet a verdict
	Down        State = "down"        // failed as often as its rule says
	Unreachable State = "unreachable" // cannot be judged: what it depends on is down
	Unknown     State = "unknown"     // nobody looked, or could look
	Maintenance State = "maintenance" // down as planned
)

// States lists every state, best first.
func States() []State {
	return []State{Up, Degraded, Suspect, Down, Unreachable, Unknown, Maintenance}
}

// Valid reports whether s is one of States.
func (s State) Valid() bool { return slices.Contains(States(), s) }

// Status is what a signal about a target in this state says: firing while it
// is down, resolved once it is up, nothing in between.
func (s State) Status() Status {
	switch s {
	case Down, Unreachable:
		return Firing
	case Up:
		return Resolved
	case Degraded, Suspect, Unknown, Maintenance:
	}
	return None
}

// Target is the body of a signal of kind target: a transition into a state,
// or, with Snapshot, the state that the exporter found when it started.
type Target struct {
	Name      string   `json:"name"`               // the configured name; the subject is "target/NAME"
	State     State    `json:"state"`              // into this one
	Previous  State    `json:"previous,omitempty"` // out of this one
	Reason    string   `json:"reason,omitempty"`   // from the closed list of the probes
	Cause     string   `json:"cause,omitempty"`    // one sentence for people
	Evidence  string   `json:"evidence,omitempty"` // the failing exchange
	Rule      string   `json:"rule,omitempty"`     // what made this the verdict, "3 failed in a row"
	Address   string   `json:"address,omitempty"`  // what is probed
	Probe     string   `json:"probe,omitempty"`    // the module
	Tier      string   `json:"tier,omitempty"`     // essential, necessary, optional
	Provides  []string `json:"provides,omitempty"`
	DependsOn []string `json:"depends_on,omitempty"`
	Every     string   `json:"every,omitempty"`    // the probe interval, as Go writes durations
	Snapshot  bool     `json:"snapshot,omitempty"` // no transition: told at the exporter's start
	Removed   bool     `json:"removed,omitempty"`  // the target left the configuration
}

// TargetSubject is the subject of all signals about the target.
func TargetSubject(name string) string { return string(KindTarget) + "/" + name }

// Target decodes the body of a signal of kind target.
func (s Signal) Target() (Target, error) {
	if s.Kind != KindTarget {
		return Target{}, fmt.Errorf("%w: a signal of kind %s has no target", ErrInvalid, s.Kind)
	}
	var t Target
	if err := json.Unmarshal(s.Body, &t); err != nil {
		return Target{}, fmt.Errorf("%w: body of a target signal: %w", ErrInvalid, err)
	}
	if TargetSubject(t.Name) != s.Subject {
		return Target{}, fmt.Errorf("%w: body tells of target %q, subject is %q", ErrInvalid, t.Name, s.Subject)
	}
	if !t.State.Valid() {
		return Target{}, fmt.Errorf("%w: state %q is not one of %v", ErrInvalid, t.State, States())
	}
	return t, nil
}

// Lease is an exporter's word that it was looking at all its targets until
// Watermark. It is renewed every Every; a lease that is not renewed means that
// the exporter is blind, which is not the same as its targets being down.
type Lease struct {
	Source    string        `json:"source"`    // as in the exporter's signals
	Session   string        `json:"session"`   // new at each start of the exporter
	Seq       uint64        `json:"seq"`       // rises within a session
	Watermark time.Time     `json:"watermark"` // looked until then
	Every     time.Duration `json:"every"`     // the next one comes after this, in nanoseconds
}
