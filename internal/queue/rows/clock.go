package rows

import (
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// clock is the time that delays and leases are counted in. It starts at the
// wall time and then runs on its own, so that a stepped wall clock neither
// fires what is not due nor holds back what is. It never falls behind what an
// earlier process saw.
type clock struct {
	start  time.Time // with its monotonic reading
	offset int64     // Unix nanoseconds at start
}

func (c *clock) now() int64 { return c.offset + int64(time.Since(c.start)) }

func (b *Book) loadClock(tx Tx) error {
	var seen int64
	err := tx.QueryRow(`SELECT at FROM queue_clock WHERE id = 1`).Scan(&seen)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read the queue's clock: %w", err)
	}
	if !b.clock.start.IsZero() {
		return nil
	}
	start := time.Now()
	b.clock = clock{start: start, offset: max(start.UnixNano(), seen)}
	return nil
}

// SaveClock remembers how far the queue's clock came.
func (b *Book) SaveClock(tx Tx) error {
	_, err := tx.Exec(`INSERT INTO queue_clock (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at`, b.clock.now())
	if err != nil {
		return fmt.Errorf("save the queue's clock: %w", err)
	}
	return nil
}

// wall turns a time of the queue's clock into one that people can read.
func (b *Book) wall(at int64) time.Time {
	return b.now().Add(time.Duration(at - b.clock.now())).UTC()
}
