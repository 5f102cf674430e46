package notification

import (
	"errors"
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// Redelivery is for how long a webhook that says nothing new is taken for one
// whose answer was lost. Later it is a repetition.
const Redelivery = time.Minute

// toldFor is how long is remembered what a webhook said.
const toldFor = 30 * 24 * time.Hour

// Memory is what a room remembers of the notifications that it told. The tables
// are the room's: Told has the columns receiver, group_key and fingerprint as
// its key, status, started and told; Sequence has one row with id 1 and last.
type Memory struct {
	Told, Sequence string
	Now            func() time.Time
}

// Number takes count numbers for signals and returns the first. They rise even
// if the clock is set back: milliseconds of the first use, counted up.
func (m Memory) Number(tx *store.Tx, count int) (first uint64, err error) {
	var last int64
	err = tx.QueryRow(`INSERT INTO `+m.Sequence+` (id, last) VALUES (1, ?)
		ON CONFLICT (id) DO UPDATE SET last = last + ? RETURNING last`, m.Now().UnixMilli()+int64(count), count).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("number signals: %w", err)
	}
	return uint64(last-int64(count)) + 1, nil
}

// News keeps of a notification what its receiver has to be told: what is new in
// it, or all of it as a repetition. It is remembered as told.
func (m Memory) News(tx *store.Tx, what Notification) (Notification, error) {
	var changed, repeated []Alert
	now := m.Now()
	for _, a := range what.Alerts {
		known, err := m.known(tx, what, a)
		if err != nil {
			return what, err
		}
		if what.KeepStart {
			if a.Status == string(signal.Resolved) && known.status != string(signal.Firing) {
				continue // nobody was told that it fired
			}
			a.StartsAt = known.start(a)
		}
		switch {
		case known.status != a.Status || known.started != a.StartsAt.UnixNano():
			a.Nonce = known.told
			changed = append(changed, a)
		case a.Status == string(signal.Firing) && now.Sub(time.Unix(0, known.told)) >= Redelivery:
			a.Nonce, a.Repeat = known.told, true
			repeated = append(repeated, a)
		}
	}
	if what.Alerts = changed; len(changed) == 0 {
		what.Alerts = repeated
	}
	if err := m.remember(tx, what, now); err != nil {
		return what, err
	}
	return what, m.forget(tx, now)
}

func (m Memory) remember(tx *store.Tx, what Notification, now time.Time) error {
	for _, a := range what.Alerts {
		_, err := tx.Exec(`INSERT INTO `+m.Told+` (receiver, group_key, fingerprint, status, started, told) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (receiver, group_key, fingerprint) DO UPDATE SET status = excluded.status, started = excluded.started, told = excluded.told`,
			what.Receiver, what.GroupKey, a.Fingerprint, a.Status, a.StartsAt.UnixNano(), now.UnixNano())
		if err != nil {
			return fmt.Errorf("remember what was told: %w", err)
		}
	}
	return nil
}

func (m Memory) forget(tx *store.Tx, now time.Time) error {
	if _, err := tx.Exec(`DELETE FROM `+m.Told+` WHERE told < ?`, now.Add(-toldFor).UnixNano()); err != nil {
		return fmt.Errorf("forget what was told: %w", err)
	}
	return nil
}

type known struct {
	status        string
	started, told int64
}

// start is when an alert that was told as firing began to.
func (k known) start(a Alert) time.Time {
	if k.status != string(signal.Firing) {
		return a.StartsAt
	}
	return time.Unix(0, k.started).UTC()
}

func (m Memory) known(tx *store.Tx, what Notification, a Alert) (k known, err error) {
	rows, err := tx.Query(`SELECT status, started, told FROM `+m.Told+` WHERE receiver = ? AND group_key = ? AND fingerprint = ?`,
		what.Receiver, what.GroupKey, a.Fingerprint)
	if err != nil {
		return k, fmt.Errorf("read what was told: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(&k.status, &k.started, &k.told); err != nil {
			return k, fmt.Errorf("read what was told: %w", err)
		}
	}
	return k, rows.Err()
}
