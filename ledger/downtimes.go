package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/ledger/report"
	"github.com/colliehq/collie/signal"
)

// Downtimes returns a page of the downtimes that overlap the query's time, the
// newest first. A downtime is found by the last interval in which its target
// was down, so that the cost is that of the downtimes and not of the record.
func (l *Ledger) Downtimes(ctx context.Context, q Query) (record.Page[record.Downtime], error) {
	page := record.Page[record.Downtime]{Items: []record.Downtime{}}
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	now := l.now()
	if !q.Until.Before(now) {
		q.Until = time.Time{} // all there is: the exporters' clocks may be ahead of ours
	}
	f := finder{q: q, now: now, found: map[string]report.Downtime{}}
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		page, err = f.page(ctx, tx, at, limit(q.Limit))
		return err
	})
	if err != nil {
		return page, fmt.Errorf("read downtimes: %w", err)
	}
	return page, nil
}

// finder looks for downtimes in one snapshot of the record.
type finder struct {
	q     Query
	now   time.Time
	found map[string]report.Downtime // the latest found, by target
}

func (f *finder) page(ctx context.Context, tx *sql.Tx, at cursor, n int) (record.Page[record.Downtime], error) {
	page := record.Page[record.Downtime]{Items: []record.Downtime{}}
	q := f.q
	q.States = []signal.State{signal.Down}
	if at.at == math.MaxInt64 { // only on the first page
		if err := f.confirmedLater(ctx, tx, &page); err != nil {
			return page, err
		}
	}
	for {
		rows, err := intervalsPage(ctx, tx, q, at, MaxLimit)
		if err != nil {
			return page, err
		}
		for _, r := range rows {
			if err := f.add(ctx, tx, r, &page); err != nil {
				return page, err
			}
			at = cursor{r.from, r.id}
			if len(page.Items) >= n {
				page.Next = at.String()
				return page, nil
			}
		}
		if len(rows) < MaxLimit {
			return page, nil
		}
	}
}

// confirmedLater adds downtimes of which only the suspicion, or the blindness
// after it, is in the window: the verdict came after until.
func (f *finder) confirmedLater(ctx context.Context, tx *sql.Tx, page *record.Page[record.Downtime]) error {
	if f.q.Until.IsZero() {
		return nil
	}
	over, err := covering(ctx, tx, f.q.Target, nanos(f.q.Until, math.MaxInt64))
	if err != nil {
		return err
	}
	for _, s := range over {
		if s.State != signal.Suspect {
			continue
		}
		next, err := f.neighbours(ctx, tx, s.Target, s.to, true)
		if err != nil {
			return err
		}
		if len(next) > 0 && next[0].State == signal.Down && s.to >= nanos(f.q.Until, math.MaxInt64) {
			if err := f.add(ctx, tx, next[0], page); err != nil {
				return err
			}
		}
	}
	return nil
}

// add puts the downtime that the interval belongs to on the page, unless it is
// there, or was on the page before.
func (f *finder) add(ctx context.Context, tx *sql.Tx, down stored, page *record.Page[record.Downtime]) error {
	if d, ok := f.found[down.Target]; ok && !moment(down.from).Before(d.From) {
		return nil
	}
	rows, err := f.around(ctx, tx, down)
	if err != nil {
		return err
	}
	for _, d := range report.Downtimes(spans(rows), f.now) {
		if moment(down.from).Before(d.From) || !d.To.IsZero() && !moment(down.from).Before(d.To) {
			continue
		}
		f.found[down.Target] = d
		if f.newest(d, down) {
			page.Items = append(page.Items, f.answer(d, rows))
		}
	}
	return nil
}

// newest reports whether the interval is the last of the downtime that the
// window shows: the downtime is told there.
func (f *finder) newest(d report.Downtime, down stored) bool {
	for _, s := range slices.Backward(d.Spans) {
		if s.State == signal.Down && (f.q.Until.IsZero() || s.From.Before(f.q.Until)) {
			return !s.From.After(moment(down.from))
		}
	}
	return true
}

// around reads the intervals that may belong to the downtime: on both sides up
// to a state that decides.
func (f *finder) around(ctx context.Context, tx *sql.Tx, down stored) ([]stored, error) {
	before, err := f.neighbours(ctx, tx, down.Target, down.from, false)
	if err != nil {
		return nil, err
	}
	after, err := f.neighbours(ctx, tx, down.Target, down.to, true)
	if err != nil {
		return nil, err
	}
	slices.Reverse(before)
	return append(append(before, down), after...), nil
}

// neighbours walks from the instant up to and including the first interval in
// a state that begins or ends downtimes.
func (f *finder) neighbours(ctx context.Context, tx *sql.Tx, target string, at int64, onwards bool) ([]stored, error) {
	query := `SELECT ` + intervalColumns + ` FROM ledger_intervals i WHERE i.target = ? AND i.from_ns < ? ORDER BY i.from_ns DESC`
	if onwards {
		query = `SELECT ` + intervalColumns + ` FROM ledger_intervals i WHERE i.target = ? AND i.from_ns >= ? ORDER BY i.from_ns`
	}
	rows, err := tx.QueryContext(ctx, query, target, at)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []stored
	for rows.Next() {
		var s stored
		if err := s.scan(rows); err != nil {
			return nil, err
		}
		found = append(found, s)
		if s.State != signal.Down && s.State != signal.Suspect && s.State != signal.Unknown && s.State != signal.Unreachable {
			break
		}
	}
	return found, rows.Err()
}

func spans(rows []stored) []report.Span {
	all := make([]report.Span, len(rows))
	for i, r := range rows {
		all[i] = report.Span{From: moment(r.from), State: r.State}
		if t := end(r.to); t != nil {
			all[i].To = *t
		}
	}
	return all
}

// answer tells the downtime, with the reason that its first verdict had.
func (f *finder) answer(d report.Downtime, rows []stored) record.Downtime {
	a := record.Downtime{
		Target: rows[0].Target, From: d.From, End: string(d.End), Seconds: d.Down.Seconds(), Unknown: d.Unknown.Seconds(),
	}
	until := f.q.Until
	if until.IsZero() {
		until = f.now
	}
	a.Window = d.Between(f.q.Since, until).Seconds()
	if !d.To.IsZero() {
		a.To = &d.To
	}
	for _, r := range rows {
		if r.State == signal.Down && !moment(r.from).Before(d.From) {
			a.Reason, a.Cause, a.Rule, a.Evidence = r.Reason, r.Cause, r.Rule, r.Evidence
			break
		}
	}
	return a
}
