package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/retry"
	"github.com/colliehq/collie/signal"
)

// outcome is what became of a signal, for counting once it is durable.
type outcome struct {
	duplicate, stale, late bool
	newTarget              bool
	newSource              bool
}

// signal makes a job of a delivered signal. What cannot be read is parked with
// the cause: trying again would not help, and dropping would lose it.
func (l *Ledger) signal(d queue.Delivery) *job {
	var s signal.Signal
	if err := json.Unmarshal(d.Body, &s); err != nil {
		return unreadable(d, fmt.Errorf("read signal: %w", err))
	}
	in := incoming{Signal: s, body: d.Body}
	if s.Kind == signal.KindTarget {
		t, err := s.Target()
		if err == nil && s.Seq > math.MaxInt64 {
			err = fmt.Errorf("%w: seq %d is too large", signal.ErrInvalid, s.Seq)
		}
		if err != nil {
			return unreadable(d, fmt.Errorf("read signal %s: %w", s.ID, err))
		}
		in.target = t
	}
	return &job{Delivery: d, lane: s.Subject, do: func(ctx context.Context) error { return l.record(ctx, in) }}
}

func unreadable(d queue.Delivery, err error) *job {
	return &job{Delivery: d, do: func(context.Context) error { return retry.Stop(err) }}
}

// incoming is a signal on its way into the record.
type incoming struct {
	signal.Signal
	target signal.Target // for signals of targets
	body   []byte        // as it came
}

// record writes the signal: journal and intervals in one commit.
func (l *Ledger) record(ctx context.Context, in incoming) error {
	var out outcome
	now := l.now()
	err := l.store.Tx(ctx, func(tx *store.Tx) (err error) {
		out, err = l.write(tx, in, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("record signal %s: %w", in.ID, err)
	}
	l.count(in, out, now)
	return nil
}

func (l *Ledger) count(in incoming, out outcome, now time.Time) {
	switch {
	case out.duplicate:
		l.metrics.duplicates.Inc()
		return
	case out.stale:
		l.metrics.stale.Inc()
		return
	case out.late:
		l.metrics.late.Inc()
	}
	if out.newTarget {
		l.metrics.open.Inc()
	}
	if out.newSource {
		l.leases.expect(in.Source, time.Now())
	}
	l.metrics.recorded(in.Signal, now)
}

func (l *Ledger) write(tx *store.Tx, in incoming, now time.Time) (outcome, error) {
	first, err := tx.Once(Subscription, in.ID)
	if err != nil || !first {
		return outcome{duplicate: !first}, err
	}
	if in.Kind != signal.KindTarget || !in.Production() {
		return outcome{}, journal(tx, in.Signal, in.body, now)
	}
	return l.writeTarget(tx, in, now)
}

// writeTarget decides where a target's signal belongs: behind all others as a
// rule, before newer ones if it was delayed, nowhere if it is known or too old.
func (l *Ledger) writeTarget(tx *store.Tx, in incoming, now time.Time) (outcome, error) {
	row, known, err := readTarget(tx, in.target.Name)
	if err != nil {
		return outcome{}, err
	}
	if known && row.source == in.Source && in.Seq <= row.seq {
		if stale, err := l.isStale(tx, in, now); err != nil || stale {
			return outcome{stale: true}, err
		}
	}
	if err := journal(tx, in.Signal, in.body, now); err != nil {
		return outcome{}, err
	}
	out := outcome{newTarget: !known}
	if !known {
		if out.newSource, err = expectLease(tx, in.Signal, now); err != nil {
			return out, err
		}
	}
	if known && row.source == in.Source && in.Seq < row.seq {
		out.late = true
		return out, refold(tx, in.target.Name, in.Observed)
	}
	if err := renewTarget(tx, in); err != nil {
		return out, err
	}
	return out, goOn(tx, in, now)
}

// goOn continues the record with the newest word on a target. A time before
// the open interval means one of two things. If the ledger opened that one for
// want of leases, the signal was delayed and belongs before it. Otherwise a
// clock was stepped back, or two exporters share a target: then it holds from
// now, so that nothing that was recorded is lost.
func goOn(tx *store.Tx, in incoming, now time.Time) error {
	open, ok, err := openInterval(tx, in.target.Name)
	if err != nil {
		return err
	}
	c := changeOf(in.Signal, in.target)
	if ok && c.at < open.from {
		if open.source == ourselves {
			return refold(tx, in.target.Name, in.Observed)
		}
		if open.from-c.at > int64(time.Microsecond) { // else the same instant: put may have shifted the open one
			c.at = max(now.UnixNano(), open.from)
		}
	}
	return put(tx, c)
}

// isStale reports whether the signal must not change the record: it is in the
// journal under another id, or the journal does not reach back that far.
func (l *Ledger) isStale(tx *store.Tx, in incoming, now time.Time) (bool, error) {
	if in.Observed.Before(now.Add(-l.config.Load().JournalRetention)) {
		return true, nil
	}
	var one int
	err := tx.QueryRow(`SELECT 1 FROM ledger_journal WHERE subject = ? AND at_ns = ? AND source = ? AND seq = ? LIMIT 1`,
		in.Subject, in.Observed.UnixNano(), in.Source, int64(in.Seq)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// row is a row of ledger_targets.
type row struct {
	source     string
	seq        uint64
	reportedNS int64
	reported   string
}

func readTarget(tx *store.Tx, name string) (r row, known bool, err error) {
	err = tx.QueryRow(`SELECT source, seq, reported_ns, reported FROM ledger_targets WHERE name = ?`, name).
		Scan(&r.source, &r.seq, &r.reportedNS, &r.reported)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read target %s: %w", name, err)
	}
	return r, true, nil
}

// renewTarget makes the signal the newest word on its target.
func renewTarget(tx *store.Tx, in incoming) error {
	failureNS, failure := int64(0), ""
	if failed := in.target.State; (failed == signal.Suspect || failed == signal.Down) && !in.target.Snapshot {
		failureNS, failure = in.Observed.UnixNano(), string(in.Body)
	}
	_, err := tx.Exec(`INSERT INTO ledger_targets (name, source, seq, reported_ns, reported, removed, failure_ns, failure)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
		source = excluded.source, seq = excluded.seq, reported_ns = excluded.reported_ns, reported = excluded.reported, removed = excluded.removed,
		failure_ns = iif(excluded.failure_ns > 0, excluded.failure_ns, failure_ns), failure = iif(excluded.failure_ns > 0, excluded.failure, failure)`,
		in.target.Name, in.Source, int64(in.Seq), in.Observed.UnixNano(), string(in.Body), in.target.Removed, failureNS, failure)
	if err != nil {
		return fmt.Errorf("write target %s: %w", in.target.Name, err)
	}
	return nil
}

// journal appends the signal.
func journal(tx *store.Tx, s signal.Signal, body []byte, now time.Time) error {
	target := s.Labels["target"]
	if s.Kind == signal.KindTarget {
		target = "" // the subject says it, and the index stays small
	}
	_, err := tx.Exec(`INSERT INTO ledger_journal (at_ns, recorded_ns, kind, subject, target, source, status, seq, environment, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, s.Observed.UnixNano(), now.UnixNano(), string(s.Kind), s.Subject, target, s.Source,
		string(s.Status), int64(min(s.Seq, math.MaxInt64)), s.Environment, body)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}
