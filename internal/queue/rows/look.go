package rows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// Stats of every subscription, by name.
func (b *Book) Stats(ctx context.Context, view *sql.Tx) ([]queue.Stats, error) {
	subs := b.Subs()
	slices.SortFunc(subs, func(x, y *Sub) int { return strings.Compare(x.Spec().Name, y.Spec().Name) })
	stats := make([]queue.Stats, 0, len(subs))
	for _, s := range subs {
		oldest, err := s.oldest(ctx, view)
		if err != nil {
			return nil, fmt.Errorf("stats of %s: %w", s.Spec().Name, err)
		}
		n := s.Counts()
		stats = append(stats, queue.Stats{
			Subscription: s.Spec(), OldestReady: oldest,
			Ready: n[queue.Ready], Delayed: n[queue.Delayed], Leased: n[queue.Leased], Parked: n[queue.Parked], Spilled: n[queue.Spilled],
		})
	}
	return stats, nil
}

func (s *Sub) oldest(ctx context.Context, view *sql.Tx) (time.Time, error) {
	if s.shown[ready].Load() == 0 {
		return time.Time{}, nil
	}
	var at int64
	err := view.QueryRowContext(ctx, `SELECT m.published FROM queue_deliveries d JOIN queue_messages m ON m.id = d.message
		WHERE d.subscription = ? AND d.state = ? ORDER BY d.due, d.message LIMIT 1`, s.id, ready).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil // taken meanwhile
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, at).UTC(), nil
}

// Page is a part of what a subscription holds.
type Page struct {
	Entries []queue.Entry
	Last    int64 // where the next page begins
	More    bool
}

// Peek lists messages of a subscription, oldest first, from the one after a
// message on: up to f.Limit, and fewer once their bodies make maxBytes.
func (b *Book) Peek(ctx context.Context, view *sql.Tx, s *Sub, f queue.Filter, after int64, maxBytes int) (page Page, err error) {
	only := int64(-1)
	for state := range states {
		if stateName(state) == f.State {
			only = int64(state)
		}
	}
	if f.State != "" && only < 0 {
		return page, fmt.Errorf("peek into %s: no state %q", s.Spec().Name, f.State)
	}
	rows, err := view.QueryContext(ctx, peekQuery(only), s.id, only, f.Limit, after)
	if err != nil {
		return page, fmt.Errorf("peek into %s: %w", s.Spec().Name, err)
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		e, id, err := b.entry(rows)
		if err != nil {
			return page, fmt.Errorf("peek into %s: %w", s.Spec().Name, err)
		}
		page.Entries, page.Last = append(page.Entries, e), id
		if size += len(e.Body); size >= maxBytes || len(page.Entries) == f.Limit {
			page.More = true
			break
		}
	}
	return page, rows.Err()
}

// peekQuery reads along the index where that is in order: what is ready or set
// aside is due at 0.
func peekQuery(state int64) string {
	const entry = `SELECT m.id, d.state, d.due, d.attempt, d.cause, m.topic, m.key, m.published, m.headers, m.body `
	if state == ready || state == parked || state == spilled {
		return entry + `FROM queue_deliveries d CROSS JOIN queue_messages m ON m.id = d.message
			WHERE d.subscription = ?1 AND d.state = ?2 AND d.due = 0 AND d.message > ?4 ORDER BY d.message LIMIT ?3`
	}
	return entry + `FROM queue_messages m JOIN queue_deliveries d ON d.message = m.id AND d.subscription = ?1
		WHERE m.id > ?4 AND (?2 < 0 OR d.state = ?2) ORDER BY m.id LIMIT ?3`
}

func (b *Book) entry(rows *sql.Rows) (e queue.Entry, id int64, err error) {
	var state int
	var due, published int64
	var headers string
	if err := rows.Scan(&id, &state, &due, &e.Attempt, &e.Cause, &e.Topic, &e.Key, &published, &headers, &e.Body); err != nil {
		return e, 0, err
	}
	e.State = stateName(state)
	e.FirstSeen = time.Unix(0, published).UTC()
	if state == delayed || state == leased {
		e.Due = b.wall(due)
	}
	e.Headers, err = decodeHeaders(headers)
	return e, id, err
}

// Redrive makes up to limit parked and spilled messages ready again, those
// with the key or, if all, any. It returns how many.
func (b *Book) Redrive(tx Tx, s *Sub, all bool, key string, limit int) (int, error) {
	total := 0
	for _, from := range []int{parked, spilled} {
		res, err := tx.Exec(`UPDATE queue_deliveries SET state = ?1, due = 0, attempt = 0, crashes = 0, cause = ''
			WHERE subscription = ?2 AND message IN (SELECT d.message FROM queue_deliveries d JOIN queue_messages m ON m.id = d.message
				WHERE d.subscription = ?2 AND d.state = ?3 AND (?4 OR m.key = ?5) ORDER BY d.due, d.message LIMIT ?6)`,
			ready, s.id, from, all, key, limit-total)
		if err != nil {
			return 0, fmt.Errorf("redrive %s: %w", s.Spec().Name, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, fmt.Errorf("redrive %s: %w", s.Spec().Name, err)
		}
		s.move(tx, from, ready, n)
		total += int(n)
	}
	tx.OnCommit(s.Notify)
	return total, nil
}
