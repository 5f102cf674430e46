package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// The intervals of a target are a fold over its signals in the journal. Going
// on from the last one is the rule; refold does the same again from an earlier
// time on, when a signal comes late.

// forever is the end of an interval that lasts.
const forever = math.MaxInt64

// ourselves is the source of what the ledger itself says about targets.
const ourselves = "ledger"

// change is a new state of a target.
type change struct {
	target string
	at     int64
	seq    uint64
	source string
	state  signal.State

	reason, cause, rule, evidence string
}

func changeOf(s signal.Signal, t signal.Target) change {
	return change{
		target: t.Name, at: s.Observed.UnixNano(), seq: s.Seq, source: s.Source, state: t.State,
		reason: t.Reason, cause: t.Cause, rule: t.Rule, evidence: t.Evidence,
	}
}

type interval struct {
	id, from int64
	state    signal.State
	source   string
}

func openInterval(tx *store.Tx, target string) (interval, bool, error) {
	return oneInterval(tx, `SELECT id, from_ns, state, source FROM ledger_intervals WHERE target = ? AND to_ns = 9223372036854775807`, target)
}

func oneInterval(tx *store.Tx, query string, args ...any) (i interval, ok bool, err error) {
	err = tx.QueryRow(query, args...).Scan(&i.id, &i.from, &i.state, &i.source)
	if errors.Is(err, sql.ErrNoRows) {
		return i, false, nil
	}
	if err != nil {
		return i, false, fmt.Errorf("read interval: %w", err)
	}
	return i, true, nil
}

// put closes the open interval where the change begins and opens the next. The
// same state goes on. What would begin before the open interval begins with
// it, and what would have no length is not stored. But blindness begins after
// the instant in which something was seen: a result that we were stopped right
// behind was a result, and keeps the shortest length there is.
func put(tx *store.Tx, c change) error {
	open, ok, err := openInterval(tx, c.target)
	if err != nil {
		return err
	}
	switch {
	case !ok:
		return insert(tx, c)
	case open.state == c.state:
		return nil
	case c.at <= open.from && c.state == signal.Unknown:
		c.at = open.from + 1
	case c.at <= open.from:
		c.at = open.from
		return replace(tx, open, c)
	}
	if _, err := tx.Exec(`UPDATE ledger_intervals SET to_ns = ? WHERE id = ?`, c.at, open.id); err != nil {
		return fmt.Errorf("close interval: %w", err)
	}
	return insert(tx, c)
}

func insert(tx *store.Tx, c change) error {
	_, err := tx.Exec(`INSERT INTO ledger_intervals (target, from_ns, to_ns, state, reason, cause, rule, evidence, source)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.target, c.at, int64(forever), string(c.state), c.reason, c.cause, c.rule, c.evidence, c.source)
	if err != nil {
		return fmt.Errorf("open interval: %w", err)
	}
	return nil
}

// replace takes the place of an open interval that had no length. If that
// brings the state before it back, the one before goes on.
func replace(tx *store.Tx, open interval, c change) error {
	if _, err := tx.Exec(`DELETE FROM ledger_intervals WHERE id = ?`, open.id); err != nil {
		return fmt.Errorf("remove empty interval: %w", err)
	}
	before, ok, err := oneInterval(tx, `SELECT id, from_ns, state, source FROM ledger_intervals WHERE target = ? AND from_ns < ?
		ORDER BY from_ns DESC LIMIT 1`, c.target, open.from)
	if err != nil {
		return err
	}
	if ok && before.state == c.state {
		return reopen(tx, before)
	}
	return insert(tx, c)
}

func reopen(tx *store.Tx, i interval) error {
	if _, err := tx.Exec(`UPDATE ledger_intervals SET to_ns = ? WHERE id = ?`, int64(forever), i.id); err != nil {
		return fmt.Errorf("open interval again: %w", err)
	}
	return nil
}

// refold writes the intervals of the target from the time on anew, as the
// journal tells them.
func refold(tx *store.Tx, target string, at time.Time) error {
	from, err := foldStart(tx, target, at.UnixNano())
	if err != nil {
		return err
	}
	changes, err := foldable(tx, target, from)
	if err != nil {
		return fmt.Errorf("read journal of %s: %w", target, err)
	}
	if _, err := tx.Exec(`DELETE FROM ledger_intervals WHERE target = ? AND from_ns >= ?`, target, from); err != nil {
		return fmt.Errorf("take intervals back: %w", err)
	}
	before, ok, err := oneInterval(tx, `SELECT id, from_ns, state, source FROM ledger_intervals WHERE target = ? ORDER BY from_ns DESC LIMIT 1`, target)
	if err != nil {
		return err
	}
	if ok {
		if err := reopen(tx, before); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := put(tx, c); err != nil {
			return err
		}
	}
	return nil
}

// foldStart is the time itself, or before it where an interval begins right
// then: the signal behind that one may be a nanosecond older.
func foldStart(tx *store.Tx, target string, at int64) (int64, error) {
	for ; ; at-- {
		_, ok, err := oneInterval(tx, `SELECT id, from_ns, state, source FROM ledger_intervals WHERE target = ? AND from_ns = ?`, target, at)
		if err != nil || !ok {
			return at, err
		}
	}
}

// foldable reads the changes of the target from the time on, in the order in
// which they hold: by time, and within an instant by seq. Where the ledger took
// a state back because the exporter's lease returned, the state is the one that
// the exporter had said by then.
func foldable(tx *store.Tx, target string, from int64) ([]change, error) {
	said, err := journaled(tx, `SELECT id, body FROM ledger_journal WHERE subject = ? AND at_ns < ? AND kind = 'target'
		AND environment = 'production' AND source <> 'ledger' ORDER BY at_ns DESC, seq DESC LIMIT 1`, signal.TargetSubject(target), from)
	if err != nil {
		return nil, err
	}
	rows, err := journaled(tx, `SELECT id, body FROM ledger_journal WHERE subject = ? AND at_ns >= ? AND kind = 'target'
		AND environment = 'production' ORDER BY at_ns, seq, id`, signal.TargetSubject(target), from)
	if err != nil {
		return nil, err
	}
	changes := make([]change, 0, len(rows))
	for _, r := range rows {
		c := changeOf(r.Signal, r.target)
		switch {
		case r.Source != ourselves:
			said = []incoming{r}
		case r.target.Snapshot && len(said) > 0:
			c = returned(changeOf(said[0].Signal, said[0].target), c.at)
		}
		changes = append(changes, c)
	}
	return slices.Clip(changes), nil
}

// returned is the exporter's own state again, from the time on.
func returned(said change, at int64) change {
	said.at, said.source = at, ourselves
	return said
}

func journaled(tx *store.Tx, query string, args ...any) ([]incoming, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []incoming
	for rows.Next() {
		var id int64
		var in incoming
		if err := rows.Scan(&id, &in.body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(in.body, &in.Signal); err != nil {
			return nil, fmt.Errorf("entry %d: %w", id, err)
		}
		if in.target, err = in.Target(); err != nil {
			return nil, fmt.Errorf("entry %d: %w", id, err)
		}
		found = append(found, in)
	}
	return found, rows.Err()
}
