// Package spool keeps the lines for IRC from their acceptance, which is a synced
// commit, until a server is known to have taken them. What is open is in memory
// too, in the order of acceptance.
package spool

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/colliehq/collie/ircbot/words"
)

// Lane says what goes first.
type Lane int

// The lanes, the most urgent first.
const (
	Critical Lane = iota
	Reply         // answers to commands, and the dead man's switch
	Info
	Repeat
)

// Lanes lists every lane, the most urgent first.
func Lanes() []Lane { return []Lane{Critical, Reply, Info, Repeat} }

// String is the lane's name in metrics.
func (l Lane) String() string { return [...]string{"critical", "reply", "info", "repeat"}[l] }

// State of a line.
type State string

// The states. A line that was sent and not confirmed before the connection
// ended is queued again, with Tries above 0.
const (
	Queued    State = "queued"
	Sent      State = "sent"
	Confirmed State = "confirmed"
	Folded    State = "folded"  // another line says it
	Dropped   State = "dropped" // could not be kept
)

// Line is what one channel is told.
type Line struct {
	ID       int64
	Place    int64 // in the order of talk: the ID, of a fold that of its first line
	Network  string
	Channel  string // or a nick
	Lane     Lane
	State    State
	Tries    int
	Subject  string
	Target   string
	SignalID string
	About    words.About
	Into     int64  // the line that says it too
	Method   string // how it was confirmed: label, echo or barrier
	Seen     time.Time
	Accepted time.Time
	Sent     time.Time
	Done     time.Time

	bytes int
}

// Mark is the short id of a line that is said again since nobody knows whether
// it arrived; empty for the first time.
func (l Line) Mark() string {
	if l.Tries == 0 {
		return ""
	}
	return fmt.Sprintf("[%03x] ", l.ID&0xfff)
}

// Waits reports whether the line was never handed to a server.
func (l Line) Waits() bool { return l.State == Queued && l.Tries == 0 }

// fixed is what a line costs beside its text, roughly.
const fixed = 200

func (l *Line) encode() (string, error) {
	raw, err := json.Marshal(l.About)
	if err != nil {
		return "", fmt.Errorf("encode a line: %w", err)
	}
	l.bytes = len(raw) + fixed
	return string(raw), nil
}

const columns = `id, place, network, channel, lane, state, tries, subject, target, signal_id, about, bytes, into_id, method, seen_ns, accepted_ns, sent_ns, done_ns`

type scanner interface{ Scan(into ...any) error }

func scan(rows scanner) (*Line, error) {
	var l Line
	var about string
	var seen, accepted, sent, done int64
	err := rows.Scan(&l.ID, &l.Place, &l.Network, &l.Channel, &l.Lane, &l.State, &l.Tries, &l.Subject, &l.Target, &l.SignalID,
		&about, &l.bytes, &l.Into, &l.Method, &seen, &accepted, &sent, &done)
	if err != nil {
		return nil, fmt.Errorf("read a line: %w", err)
	}
	if err := json.Unmarshal([]byte(about), &l.About); err != nil {
		return nil, fmt.Errorf("read line %d: %w", l.ID, err)
	}
	l.Seen, l.Accepted, l.Sent, l.Done = from(seen), from(accepted), from(sent), from(done)
	return &l, nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func from(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
