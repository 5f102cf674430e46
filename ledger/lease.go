package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

const (
	defaultEvery = 15 * time.Second // of an exporter whose first lease is still awaited
	minEvery     = time.Second
	maxEvery     = time.Hour
	missed       = 3 // leases that may fail to come before the exporter counts as blind
)

// watch knows when each exporter was last heard of, on our own monotonic clock:
// wall clocks may be stepped, and those of two machines differ.
type watch struct {
	mu      sync.Mutex
	sources map[string]heard
}

type heard struct {
	at     time.Time
	every  time.Duration
	lapsed bool
}

func newWatch() *watch { return &watch{sources: map[string]heard{}} }

// start begins anew with what was known when we stopped.
func (w *watch) start(known map[string]heard, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for source, h := range known {
		h.at = now
		w.sources[source] = h
	}
}

func (w *watch) saw(source string, every time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources[source] = heard{at: now, every: min(max(every, minEvery), maxEvery)}
}

// expect begins to wait for a new source, unless its first lease was faster
// than the news of its first signal.
func (w *watch) expect(source string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.sources[source]; !known {
		w.sources[source] = heard{at: now, every: defaultEvery}
	}
}

// restart gives everybody the whole time again.
func (w *watch) restart(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for source, h := range w.sources {
		h.at = now
		w.sources[source] = h
	}
}

// silent are the exporters whose leases ran out.
func (w *watch) silent(now time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var silent []string
	for source, h := range w.sources {
		if !h.lapsed && now.Sub(h.at) > missed*h.every {
			silent = append(silent, source)
		}
	}
	return silent
}

// lapse marks the exporter as blind, unless it was heard of since.
func (w *watch) lapse(source string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.sources[source]
	h.lapsed = now.Sub(h.at) > missed*h.every
	w.sources[source] = h
	return h.lapsed
}

func (l *Ledger) knownLeases(ctx context.Context) (map[string]heard, error) {
	known := map[string]heard{}
	err := l.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT source, every_ns, lapsed FROM ledger_leases`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var source string
			var h heard
			if err := rows.Scan(&source, &h.every, &h.lapsed); err != nil {
				return err
			}
			h.every = min(max(h.every, minEvery), maxEvery)
			known[source] = h
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	return known, nil
}

// lease makes a job of a delivered lease.
func (l *Ledger) lease(d queue.Delivery) *job {
	var lease signal.Lease
	if err := json.Unmarshal(d.Body, &lease); err != nil {
		return unreadable(d, fmt.Errorf("read lease: %w", err))
	}
	if y := lease.Watermark.UTC().Year(); lease.Source == "" || y < 1678 || y > 2261 { // what nanoseconds can count
		return unreadable(d, fmt.Errorf("read lease: source %q or watermark %v is not set", lease.Source, lease.Watermark))
	}
	return &job{Delivery: d, do: func(ctx context.Context) error { return l.renew(ctx, lease) }}
}

// renew writes the lease. If the exporter had been given up and goes on in the
// same session, it looks again: its last words hold from the lease on.
func (l *Ledger) renew(ctx context.Context, lease signal.Lease) error {
	now := l.now()
	fresh := false
	err := l.store.Tx(ctx, func(tx *store.Tx) error {
		first, err := tx.Once(LeaseSubscription, fmt.Sprintf("%s/%s/%d", lease.Source, lease.Session, lease.Seq))
		if err != nil || !first {
			return err
		}
		have, known, err := readLease(tx, lease.Source)
		if err != nil || known && have.session == lease.Session && int64(lease.Seq) <= have.seq {
			return err
		}
		fresh = true
		if known && have.lapsed && have.session == lease.Session {
			if err := l.lookAgain(tx, lease, now); err != nil {
				return err
			}
		}
		return writeLease(tx, lease, now)
	})
	if err != nil {
		return fmt.Errorf("record lease of %s: %w", lease.Source, err)
	}
	if fresh {
		l.leases.saw(lease.Source, lease.Every, time.Now())
	}
	return nil
}

type leaseRow struct {
	session   string
	seq       int64
	watermark int64
	lapsed    bool
}

const readLeaseQuery = `SELECT session, seq, watermark_ns, lapsed FROM ledger_leases WHERE source = ?`

func readLease(tx *store.Tx, source string) (r leaseRow, known bool, err error) {
	err = tx.QueryRow(readLeaseQuery, source).Scan(&r.session, &r.seq, &r.watermark, &r.lapsed)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

func writeLease(tx *store.Tx, lease signal.Lease, now time.Time) error {
	_, err := tx.Exec(`INSERT INTO ledger_leases (source, session, seq, watermark_ns, every_ns, arrived_ns, lapsed) VALUES (?, ?, ?, ?, ?, ?, 0)
		ON CONFLICT (source) DO UPDATE SET session = excluded.session, seq = excluded.seq, watermark_ns = excluded.watermark_ns,
		every_ns = excluded.every_ns, arrived_ns = excluded.arrived_ns, lapsed = 0`,
		lease.Source, lease.Session, int64(lease.Seq), lease.Watermark.UnixNano(), int64(lease.Every), now.UnixNano())
	return err
}

// expectLease begins to wait for leases of the source of a new target, and
// reports whether the source is new.
func expectLease(tx *store.Tx, s signal.Signal, now time.Time) (bool, error) {
	res, err := tx.Exec(`INSERT INTO ledger_leases (source, session, seq, watermark_ns, every_ns, arrived_ns, lapsed) VALUES (?, '', 0, ?, ?, ?, 0)
		ON CONFLICT (source) DO NOTHING`, s.Source, s.Observed.UnixNano(), int64(defaultEvery), now.UnixNano())
	if err != nil {
		return false, fmt.Errorf("expect lease of %s: %w", s.Source, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// watchLeases looks every second for exporters that went silent.
func (l *Ledger) watchLeases(ctx context.Context) error {
	const every, stall = time.Second, 5 * time.Second
	t := time.NewTicker(every)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now := time.Now()
		if now.Sub(last) > stall { // we were stopped ourselves: nobody's fault but ours
			l.leases.restart(now)
		}
		last = now
		for _, source := range l.leases.silent(now) {
			if err := l.giveUp(ctx, source); err != nil && ctx.Err() == nil {
				l.leases.restart(time.Now())
				l.log.Warn("lapse not recorded", "source", source, "err", err)
			}
		}
	}
}

// giveUp records that nobody looks at the targets of the source any more, once
// everything that it may have said was read. A lease that comes meanwhile is
// seen in the order of the steps: it is in the row, or still in the queue, or
// the source is not silent any more, or the row changed.
func (l *Ledger) giveUp(ctx context.Context, source string) error {
	before, err := l.viewLease(ctx, source)
	if err != nil {
		return err
	}
	drained, err := l.drained(ctx)
	if err != nil || !drained || !slices.Contains(l.leases.silent(time.Now()), source) {
		return err
	}
	now := l.now()
	err = l.store.Tx(ctx, func(tx *store.Tx) error {
		// Who may not publish is not silent: the disk is nearly full, and what the
		// exporter sees comes when there is room.
		if err := tx.Enqueue(); err != nil {
			return err
		}
		have, known, err := readLease(tx, source)
		if err != nil || !known || have != before {
			return err
		}
		if err := l.close(tx, source, have.watermark, now); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE ledger_leases SET lapsed = 1 WHERE source = ?`, source)
		return err
	})
	if err != nil {
		return fmt.Errorf("give up on %s: %w", source, err)
	}
	if l.leases.lapse(source, time.Now()) {
		l.metrics.lapses.Inc()
		l.log.Warn("exporter is silent, its targets are unknown", "source", source)
	}
	return nil
}

func (l *Ledger) viewLease(ctx context.Context, source string) (r leaseRow, err error) {
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, readLeaseQuery, source).Scan(&r.session, &r.seq, &r.watermark, &r.lapsed)
	})
	if err != nil {
		return r, fmt.Errorf("read lease of %s: %w", source, err)
	}
	return r, nil
}

// drained reports whether the ledger read all that was said.
func (l *Ledger) drained(ctx context.Context) (bool, error) {
	stats, err := l.queue.Stats(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the queue: %w", err)
	}
	for _, s := range stats {
		if (s.Name == Subscription || s.Name == LeaseSubscription) && s.Ready+s.Leased > 0 {
			return false, nil
		}
	}
	return true, nil
}
