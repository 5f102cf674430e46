package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// maxStatements bounds the statements that the writer keeps prepared. The
// program has far fewer; a caller that builds SQL text must not grow it.
const maxStatements = 256

var errTxDone = errors.New("transaction is over: a Tx must not be used after its function returned")

// Tx is one function's part of a group commit. It is used by that function
// only, and not after it returned.
type Tx struct {
	w    *conn
	s    *Store
	undo []func()
	done []func()
	over bool
}

// Exec runs a statement that returns no rows.
func (tx *Tx) Exec(query string, args ...any) (sql.Result, error) {
	if tx.over {
		return nil, errTxDone
	}
	st, err := tx.w.prepare(query) //nolint:sqlclosecheck // kept until the connection closes
	if err != nil {
		return nil, wrap(err)
	}
	var res sql.Result
	if st == nil {
		res, err = tx.w.conn.ExecContext(context.Background(), query, args...)
	} else {
		res, err = st.ExecContext(context.Background(), args...)
	}
	return res, wrap(err)
}

// Query runs a statement that returns rows, which are to be closed before the
// function returns.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	if tx.over {
		return nil, errTxDone
	}
	// Never a kept statement: it would be reset under rows that are still read
	// when the same query runs again inside the loop.
	rows, err := tx.w.conn.QueryContext(context.Background(), query, args...)
	return rows, wrap(err)
}

// QueryRow runs a statement that returns at most one row. Errors come from
// Scan.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	return tx.w.conn.QueryRowContext(context.Background(), query, args...)
}

// OnCommit calls f once the transaction is durable, on the writer's goroutine
// and before Tx returns: f must be quick and must not use the store.
func (tx *Tx) OnCommit(f func()) { tx.done = append(tx.done, f) }

// OnRollback calls f if the transaction does not become durable, on the
// writer's goroutine, the latest first.
func (tx *Tx) OnRollback(f func()) { tx.undo = append(tx.undo, f) }

// Now is the store's wall time.
func (tx *Tx) Now() time.Time { return tx.s.now() }

// Enqueue publishes messages in this transaction: they are delivered if and
// only if it commits. A topic without a subscription is
// queue.ErrNoSubscription; a full subscription, or too little room on the
// disk, is queue.ErrFull.
func (tx *Tx) Enqueue(msgs ...queue.Message) error {
	if tx.over {
		return errTxDone
	}
	if err := tx.s.refuses(); err != nil {
		return err
	}
	return tx.s.book.Enqueue(tx, msgs...)
}

// Once reports whether this is the first time that subscription acts on key,
// and remembers it for Remember. It is asked in the transaction that acts.
func (tx *Tx) Once(subscription, key string) (first bool, err error) {
	res, err := tx.Exec(`INSERT INTO queue_seen (subscription, key, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		subscription, key, tx.Now().UnixNano())
	if err != nil {
		return false, fmt.Errorf("remember %s of %s: %w", key, subscription, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Known reports whether a message of the topic has the key, or had it and
// subscription acted on it by Once. It writes nothing: who takes messages in asks
// it, and leaves the remembering to who acts on them.
func (tx *Tx) Known(subscription, topic, key string) (known bool, err error) {
	const query = `SELECT EXISTS (SELECT 1 FROM queue_seen WHERE subscription = ? AND key = ?)
		OR EXISTS (SELECT 1 FROM queue_messages WHERE key = ? AND topic = ? AND key <> '')`
	if tx.over {
		return false, errTxDone
	}
	if err := tx.scan(&known, query, subscription, key, key, topic); err != nil {
		return false, fmt.Errorf("look for %s of %s: %w", key, topic, err)
	}
	return known, nil
}

// finish runs the hooks of one outcome. The first outcome counts.
func (tx *Tx) finish(durable bool) {
	done, undo := tx.done, tx.undo
	tx.done, tx.undo = nil, nil
	if durable {
		for _, f := range done {
			f()
		}
		return
	}
	for _, f := range slices.Backward(undo) {
		f()
	}
}
