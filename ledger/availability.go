package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/ledger/report"
	"github.com/colliehq/collie/signal"
)

// AvailabilityQuery asks how targets did between Since and Until, now if it is
// zero.
type AvailabilityQuery struct {
	Target  string // empty: all that are configured
	Since   time.Time
	Until   time.Time
	ByMonth bool           // one answer per calendar month
	Zone    *time.Location // whose months; nil means UTC
}

// Availability returns one answer per target, or per target and month, in the
// order of names and months. Time before the record of a target begins is not
// counted.
func (l *Ledger) Availability(ctx context.Context, q AvailabilityQuery) ([]record.Availability, error) {
	now := l.now()
	if q.Until.IsZero() || q.Until.After(now) {
		q.Until = now
	}
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	targets, err := l.Targets(ctx)
	if q.Target != "" {
		var one record.Target
		one, err = l.Target(ctx, q.Target)
		targets = []record.Target{one}
	}
	if err != nil {
		return nil, err
	}
	answers := []record.Availability{}
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		for _, t := range targets {
			since := later(q.Since, t.First)
			spans, err := spansOf(ctx, tx, t.Name, since, q.Until)
			if err != nil {
				return err
			}
			answers = append(answers, availability(t.Name, spans, since, q)...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read availability: %w", err)
	}
	return answers, nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func availability(target string, spans []report.Span, since time.Time, q AvailabilityQuery) []record.Availability {
	if !q.ByMonth {
		return []record.Availability{availabilityBetween(target, "", spans, since, later(since, q.Until))}
	}
	var answers []record.Availability
	for _, m := range report.Months(since, q.Until, q.Zone) {
		for len(spans) > 1 && !spans[0].To.After(m.From) { // done with
			spans = spans[1:]
		}
		answers = append(answers, availabilityBetween(target, m.Name, spans, m.From, m.To))
	}
	return answers
}

func availabilityBetween(target, month string, spans []report.Span, from, to time.Time) record.Availability {
	t := report.Sum(spans, from, to)
	a := record.Availability{
		Target: target, Month: month, From: from.UTC(), To: to.UTC(),
		Up: t.Up.Seconds(), Degraded: t.Degraded.Seconds(), Down: t.Down.Seconds(), Unknown: t.Unknown.Seconds(),
		Unreachable: t.Unreachable.Seconds(), Maintenance: t.Maintenance.Seconds(), Undecided: t.Undecided.Seconds(),
	}
	if ratio, ok := t.Availability(); ok {
		a.Ratio = &ratio
	}
	return a
}

// spansOf reads the spans of the target that overlap the window, and one more,
// which says what a suspicion at the end became. An index has all it needs.
func spansOf(ctx context.Context, tx *sql.Tx, target string, since, until time.Time) ([]report.Span, error) {
	var all []report.Span
	add := func(r *sql.Rows) error {
		var from, to int64
		var s report.Span
		if err := r.Scan(&from, &to, &s.State); err != nil {
			return err
		}
		s.From = moment(from)
		if t := end(to); t != nil {
			s.To = *t
		}
		all = append(all, s)
		return nil
	}
	first, last := since.UnixNano(), until.UnixNano()
	err := view(ctx, tx, add, `SELECT from_ns, to_ns, state FROM ledger_intervals WHERE target = ?1 AND from_ns < ?3
		AND from_ns >= coalesce((SELECT max(from_ns) FROM ledger_intervals WHERE target = ?1 AND from_ns <= ?2), ?2) ORDER BY from_ns`, target, first, last)
	if err != nil {
		return nil, err
	}
	if len(all) > 0 && all[len(all)-1].State == signal.Suspect {
		err = view(ctx, tx, add, `SELECT from_ns, to_ns, state FROM ledger_intervals WHERE target = ? AND from_ns >= ? ORDER BY from_ns LIMIT 1`, target, last)
	}
	return all, err
}
