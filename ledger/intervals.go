package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

const intervalColumns = `i.id, i.target, i.from_ns, i.to_ns, i.state, i.reason, i.cause, i.rule, i.evidence, i.source`

// stored is a row of ledger_intervals.
type stored struct {
	id, from, to int64
	record.Interval
}

func (s *stored) scan(rows *sql.Rows) error {
	return rows.Scan(&s.id, &s.Target, &s.from, &s.to, &s.State, &s.Reason, &s.Cause, &s.Rule, &s.Evidence, &s.Source)
}

func (s *stored) answer(now time.Time) record.Interval {
	i := s.Interval
	i.From, i.To = moment(s.from), end(s.to)
	to := now
	if i.To != nil {
		to = *i.To
	}
	i.Seconds = max(to.Sub(i.From), 0).Seconds()
	return i
}

// Intervals returns a page of the intervals that overlap the query's time, the
// newest first. Their ends are not cut to it.
func (l *Ledger) Intervals(ctx context.Context, q Query) (record.Page[record.Interval], error) {
	page := record.Page[record.Interval]{Items: []record.Interval{}}
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	now := l.now()
	var rows []stored
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		rows, err = intervalsPage(ctx, tx, q, at, limit(q.Limit)+1)
		return err
	})
	if err != nil {
		return page, fmt.Errorf("read intervals: %w", err)
	}
	for i := range rows[:min(len(rows), limit(q.Limit))] {
		page.Items = append(page.Items, rows[i].answer(now))
		if i+1 == limit(q.Limit) && len(rows) > i+1 {
			page.Next = cursor{rows[i].from, rows[i].id}.String()
		}
	}
	return page, nil
}

// intervalsPage reads first what begins in the window, by index, and then what
// lasts over its beginning, which is one interval per target at most.
func intervalsPage(ctx context.Context, tx *sql.Tx, q Query, at cursor, n int) ([]stored, error) {
	rows, err := beginning(ctx, tx, q, at, n)
	if err != nil || len(rows) >= n || q.Since.IsZero() {
		return rows, err
	}
	over, err := covering(ctx, tx, q.Target, nanos(q.Since, math.MinInt64))
	if err != nil {
		return nil, err
	}
	for _, s := range over {
		before := s.from < at.at || s.from == at.at && s.id < at.id
		if before && s.from < nanos(q.Until, math.MaxInt64) && matches(q.States, s.State) && len(rows) < n {
			rows = append(rows, s)
		}
	}
	return rows, nil
}

func matches(states []signal.State, s signal.State) bool {
	return len(states) == 0 || slices.Contains(states, s)
}

// beginning reads the intervals that begin in the window, newest first. Each
// state is read by its own index and cut before they are put together.
func beginning(ctx context.Context, tx *sql.Tx, q Query, at cursor, n int) ([]stored, error) {
	where := `i.from_ns >= ? AND i.from_ns <= ? AND (i.from_ns < ? OR i.id < ?)`
	args := []any{nanos(q.Since, math.MinInt64), at.upper(q.Until), at.at, at.id}
	if q.Target != "" {
		where, args = `i.target = ? AND `+where, append([]any{q.Target}, args...)
	}
	branch := func(filter string, first ...any) (string, []any) {
		return `SELECT ` + intervalColumns + ` FROM (SELECT ` + intervalColumns + ` FROM ledger_intervals i WHERE ` + filter + where +
			` ORDER BY i.from_ns DESC, i.id DESC LIMIT ?) AS i`, append(append(first, args...), n)
	}
	query, all := branch("")
	if len(q.States) > 0 {
		all = nil
		var branches []string
		for _, s := range q.States {
			b, a := branch(`i.state = ? AND `, string(s))
			branches, all = append(branches, b), append(all, a...)
		}
		query = strings.Join(branches, " UNION ALL ")
	}
	var rows []stored
	err := view(ctx, tx, func(r *sql.Rows) error {
		var s stored
		err := s.scan(r)
		rows = append(rows, s)
		return err
	}, query+` ORDER BY 3 DESC, 1 DESC LIMIT ?`, append(all, n)...)
	return rows, err
}

// covering reads the interval of the target, or of each, that lasts over the
// instant: it began before, and ends after. Newest first.
func covering(ctx context.Context, tx *sql.Tx, target string, at int64) ([]stored, error) {
	query := `SELECT ` + intervalColumns + ` FROM ledger_targets t JOIN ledger_intervals i ON i.id =
		(SELECT id FROM ledger_intervals WHERE target = t.name AND from_ns < ?1 ORDER BY from_ns DESC LIMIT 1)
		WHERE i.to_ns > ?1`
	args := []any{at}
	if target != "" {
		query, args = query+` AND t.name = ?2`, append(args, target)
	}
	var rows []stored
	err := view(ctx, tx, func(r *sql.Rows) error {
		var s stored
		err := s.scan(r)
		rows = append(rows, s)
		return err
	}, query+` ORDER BY i.from_ns DESC, i.id DESC`, args...)
	return rows, err
}
