package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/store"
)

const (
	retentionEvery = time.Hour
	batch          = 500 // rows deleted in one commit, so that nobody waits long
)

// retain deletes what is older than the retention: soon after the start, for
// those who restart often, and then every hour.
func (l *Ledger) retain(ctx context.Context) error {
	for wait := time.Minute; sleep(ctx, wait); wait = retentionEvery {
		if err := l.purge(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("old records not deleted", "err", err)
		}
	}
	return nil
}

// purge deletes in small batches. An interval goes once it ended before the
// cutoff, hence never an open one, and the oldest go first: what is left has no
// gaps. A target that was removed goes with its last interval.
func (l *Ledger) purge(ctx context.Context) error {
	c, now := *l.config.Load(), l.now()
	cutoff, journalCutoff := now.Add(-c.Retention).UnixNano(), now.Add(-c.JournalRetention).UnixNano()
	steps := []struct {
		table, query string
		cutoff       int64
	}{
		{"journal", `DELETE FROM ledger_journal WHERE id IN (SELECT id FROM ledger_journal WHERE at_ns < ?1 ORDER BY at_ns LIMIT ?2)`, journalCutoff},
		{"intervals", `DELETE FROM ledger_intervals WHERE id IN (SELECT id FROM ledger_intervals
			WHERE from_ns < ?1 AND to_ns <= ?1 ORDER BY from_ns LIMIT ?2)`, cutoff},
		{"targets", `DELETE FROM ledger_targets WHERE name IN (SELECT name FROM ledger_targets WHERE removed = 1 AND reported_ns < ?1 LIMIT ?2)`, cutoff},
		{"intervals", `DELETE FROM ledger_intervals WHERE id IN (SELECT id FROM ledger_intervals INDEXED BY ledger_intervals_open
			WHERE to_ns = 9223372036854775807 AND from_ns < ?1 AND NOT EXISTS (SELECT 1 FROM ledger_targets WHERE name = target) LIMIT ?2)`, cutoff},
		{"leases", `DELETE FROM ledger_leases WHERE source IN (SELECT source FROM ledger_leases
			WHERE lapsed = 1 AND arrived_ns < ?1 AND NOT EXISTS (SELECT 1 FROM ledger_targets t WHERE t.source = ledger_leases.source) LIMIT ?2)`, cutoff},
	}
	for _, s := range steps {
		n, err := l.deleteAll(ctx, s.query, s.cutoff)
		if s.table != "leases" {
			l.metrics.purged.WithLabelValues(s.table).Add(float64(n))
		}
		if s.table == "targets" {
			l.metrics.open.Sub(float64(n))
		}
		if err != nil {
			return fmt.Errorf("purge %s: %w", s.table, err)
		}
	}
	return nil
}

func (l *Ledger) deleteAll(ctx context.Context, query string, cutoff int64) (sum int64, err error) {
	for n := int64(batch); n == batch; {
		err = l.store.Tx(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(query, cutoff, batch)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return sum, err
		}
		sum += n
		if !sleep(ctx, 10*time.Millisecond) { // others first
			return sum, nil
		}
	}
	return sum, nil
}

func (l *Ledger) countTargets(ctx context.Context) (n int, err error) {
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM ledger_targets`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count targets: %w", err)
	}
	return n, nil
}
