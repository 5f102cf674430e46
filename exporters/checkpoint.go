package exporters

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/colliehq/collie/internal/store"
)

// Checkpoints keep, in the store, what an exporter wants to find again after a
// restart.
type Checkpoints struct{ store *store.Store }

// Checkpoints are those of the exporter's store, whose tables New has made.
func (e *Exporter) Checkpoints() Checkpoints { return Checkpoints{e.o.Store} }

// Load is what was last saved under the key, nil if nothing was.
func (c Checkpoints) Load(ctx context.Context, key string) (state []byte, err error) {
	err = c.store.View(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT state FROM exporter_checkpoints WHERE key = ?`, key).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load checkpoint %s: %w", key, err)
	}
	return state, nil
}

// checkpointLife is how long a checkpoint is kept that nobody saves again, in
// nanoseconds: 90 days.
const checkpointLife = 90 * 24 * 3600 * 1_000_000_000

// Save keeps the state in place of what was saved under the key. It is durable
// when Save returns nil.
func (c Checkpoints) Save(ctx context.Context, key string, state []byte) error {
	return c.store.Tx(ctx, func(tx *store.Tx) error {
		now := tx.Now().UnixNano()
		if _, err := tx.Exec(`INSERT INTO exporter_checkpoints (key, state, saved) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET state = excluded.state, saved = excluded.saved`, key, state, now); err != nil {
			return fmt.Errorf("save checkpoint %s: %w", key, err)
		}
		_, err := tx.Exec(`DELETE FROM exporter_checkpoints WHERE saved < ?`, now-checkpointLife)
		return err
	})
}
