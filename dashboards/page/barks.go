package page

import (
	"context"
	"time"
)

// Barks is what people are told now, and the way to them, as the page reads it.
// Every method may be called from several requests at once. The page of what is
// up or down never depends on it.
type Barks interface {
	// Alerts returns what fires now, in any order, with what is muted and
	// without the dead man's switch. An error means that nobody can say now
	// what fires.
	Alerts(ctx context.Context) ([]Alert, error)

	// Networks returns the IRC networks that are configured, in the order in
	// which they are shown.
	Networks() []IRCNetwork

	// Lines returns the newest lines of the spool of all networks, the newest
	// first, at most limit. It may leave out confirmed heartbeats.
	Lines(ctx context.Context, limit int) ([]IRCLine, error)
}

// Alert is an alert that fires now.
type Alert struct {
	Name        string
	Fingerprint string            // Alertmanager's; with the name it is the subject in the journal
	Labels      map[string]string // severity and target stand out, the others are shown beside
	Annotations map[string]string // summary, or else description; runbook_url
	Started     time.Time
	State       string   // Alertmanager's: active, suppressed or unprocessed
	Receivers   []string // whom it is for
	SilencedBy  []Silence
	InhibitedBy []string // fingerprints of other alerts
}

// Silence is why an alert is not told. All but ID may be empty.
type Silence struct {
	ID      string
	By      string
	Comment string
	Until   time.Time
}

// IRCNetwork is a network with the state of our connection to it.
type IRCNetwork struct {
	Name      string
	Server    string // connected to, or last tried
	Nick      string
	Connected bool
	Since     time.Time // connected, or not
	Error     string    // why not
	NextTry   time.Time // zero if not known
	Channels  []IRCChannel
	Queued    int           // lines that wait
	Sent      int           // lines that no server has confirmed yet
	Folding   bool          // more is to be said than may be
	EchoAge   time.Duration // since the dead man's switch came back, or since the start if it never did
}

// IRCChannel is a channel that is to be told something.
type IRCChannel struct {
	Name   string
	Joined bool
	Why    string // not joined, or not heard
}

// IRCLine is a line in the spool.
type IRCLine struct {
	Network   string
	Channel   string // "" for ourselves
	State     string // queued, sent, confirmed, folded or dropped
	Method    string // how it was confirmed: label, echo or barrier
	Tries     int
	Subject   string // of the signal it tells, "" if there is none
	Text      string
	Heartbeat bool // of the dead man's switch
	Accepted  time.Time
	Done      time.Time // confirmed, folded or dropped; zero before
}
