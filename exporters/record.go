package exporters

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

//go:embed migrations/*.sql
var migrations embed.FS

// row is what is stored of one target.
type row struct {
	name     string
	state    signal.State
	since    time.Time
	seq      uint64
	machine  verdict.Machine
	lastPing time.Time
	removed  bool
}

// memory is all that a session knows of the ones before it.
type memory struct {
	rows      map[string]row
	session   string    // of the last lease
	watermark time.Time // zero if there never was one
}

// batch is what is stored in one commit, in this order.
type batch struct {
	rows     []row
	messages []queue.Message
	lease    *signal.Lease
}

// record is what the exporters need of a store: commits in which states and
// messages are one. save returns nil once the batch is durable, and may be
// called again with what it refused or is not sure of.
type record interface {
	load(ctx context.Context) (memory, error)
	save(ctx context.Context, b batch) error
}

// stored is the record in a store.
type stored struct{ store *store.Store }

// openRecord brings the tables of this room up to date.
func openRecord(ctx context.Context, s *store.Store) (stored, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return stored{}, err
	}
	return stored{s}, s.Migrate(ctx, "exporters", sub)
}

func (s stored) load(ctx context.Context) (memory, error) {
	m := memory{rows: map[string]row{}}
	err := s.store.View(ctx, func(tx *sql.Tx) error {
		var at int64
		err := tx.QueryRowContext(ctx, `SELECT session, watermark FROM exporter_lease`).Scan(&m.session, &at)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		m.watermark = fromNano(at)
		return loadRows(ctx, tx, m.rows)
	})
	if err != nil {
		return memory{}, fmt.Errorf("load the states of the targets: %w", err)
	}
	return m, nil
}

func loadRows(ctx context.Context, tx *sql.Tx, into map[string]row) error {
	rows, err := tx.QueryContext(ctx, `SELECT name, state, since, seq, machine, last_ping, removed FROM exporter_targets`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var since, ping int64
		var machine []byte
		if err := rows.Scan(&r.name, &r.state, &since, &r.seq, &machine, &ping, &r.removed); err != nil {
			return err
		}
		if err := json.Unmarshal(machine, &r.machine); err != nil {
			return fmt.Errorf("state of target %s: %w", r.name, err)
		}
		r.since, r.lastPing = fromNano(since), fromNano(ping)
		into[r.name] = r
	}
	return rows.Err()
}

func (s stored) save(ctx context.Context, b batch) error {
	return s.store.Tx(ctx, func(tx *store.Tx) error {
		for _, r := range b.rows {
			if err := saveRow(tx, r); err != nil {
				return fmt.Errorf("store the state of target %s: %w", r.name, err)
			}
		}
		if b.lease != nil {
			if _, err := tx.Exec(`INSERT INTO exporter_lease (id, session, watermark) VALUES (1, ?, ?)
				ON CONFLICT (id) DO UPDATE SET session = excluded.session, watermark = excluded.watermark`,
				b.lease.Session, b.lease.Watermark.UnixNano()); err != nil {
				return fmt.Errorf("store the lease: %w", err)
			}
		}
		return tx.Enqueue(b.messages...)
	})
}

func saveRow(tx *store.Tx, r row) error {
	machine, err := json.Marshal(r.machine)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO exporter_targets (name, state, since, seq, machine, last_ping, removed) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since, seq = excluded.seq,
			machine = excluded.machine, last_ping = excluded.last_ping, removed = excluded.removed`,
		r.name, string(r.state), nano(r.since), int64(r.seq), string(machine), nano(r.lastPing), r.removed)
	return err
}

func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
