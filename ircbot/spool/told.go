package spool

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// Told is what a channel was last told of an alert.
type Told struct {
	Status  signal.Status
	Started time.Time
	Source  string
	Seq     uint64
	Episode int
	At      time.Time // zero if it was never told
}

// Told reads what a channel was told; the zero value if nothing.
func (p *Spool) Told(tx *store.Tx, network, channel, subject string) (Told, error) {
	var t Told
	var started, at int64
	err := tx.QueryRow(`SELECT status, started_ns, source, seq, episode, told_ns FROM ircbot_told WHERE network = ? AND channel = ? AND subject = ?`,
		network, channel, subject).Scan(&t.Status, &started, &t.Source, &t.Seq, &t.Episode, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return Told{}, nil
	}
	if err != nil {
		return Told{}, fmt.Errorf("read what %s was told of %s: %w", channel, subject, err)
	}
	t.Started, t.At = from(started), from(at)
	return t, nil
}

// Tell writes what a channel is told.
func (p *Spool) Tell(tx *store.Tx, network, channel, subject string, t Told) error {
	_, err := tx.Exec(`INSERT INTO ircbot_told (network, channel, subject, status, started_ns, source, seq, episode, told_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (network, channel, subject) DO UPDATE SET status = excluded.status, started_ns = excluded.started_ns, source = excluded.source,
			seq = excluded.seq, episode = excluded.episode, told_ns = excluded.told_ns`,
		network, channel, subject, t.Status, nanos(t.Started), t.Source, t.Seq, t.Episode, nanos(t.At))
	if err != nil {
		return fmt.Errorf("remember what %s was told of %s: %w", channel, subject, err)
	}
	return nil
}
