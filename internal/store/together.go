package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/colliehq/collie/internal/queue"
)

// runTogether runs the requests of a batch that only publish, all at once, and
// returns those that are still to be run: the others, or all if it did not work
// out. The error it returns is one of the transaction that all share.
func (s *Store) runTogether(w *conn, batch []*request) (rest []*request, err error) {
	var publishers []*request
	for _, r := range batch {
		if len(r.msgs) == 0 {
			rest = append(rest, r)
			continue
		}
		publishers = append(publishers, r)
	}
	if len(publishers) < 2 || s.refuses() != nil {
		return batch, nil //nolint:nilerr // each of them is told by itself
	}
	if err := w.exec(`SAVEPOINT one`); err != nil {
		return nil, err
	}
	first := publishers[0].tx
	cause := s.publishTogether(first, publishers)
	if cause == nil {
		return rest, w.exec(`RELEASE one`)
	}
	first.finish(false)
	if isIO(cause) {
		return nil, cause
	}
	if err := errors.Join(w.exec(`ROLLBACK TO one`), w.exec(`RELEASE one`)); err != nil {
		if isFull(cause) {
			return nil, cause
		}
		return nil, err
	}
	return batch, nil
}

// publishTogether stores what the publishers bring, or says that it has to be
// done one by one.
func (s *Store) publishTogether(tx *Tx, publishers []*request) error {
	var msgs []queue.Message
	var keys []any
	for _, r := range publishers {
		msgs = append(msgs, r.msgs...)
		if r.unless != "" {
			keys = append(keys, r.unless, r.msgs[0].Key)
		}
	}
	if err := unseen(tx, keys); err != nil {
		return err
	}
	return s.book.EnqueueTogether(tx, msgs) // which finds out what is stored already
}

// errSeen says that somebody acted on one of the messages before.
var errSeen = errors.New("handled before")

// together is how many keys one statement looks for.
const together = 16

var lookForSeen = `WITH asked (subscription, key) AS (VALUES ` + strings.Repeat(`(?, ?), `, together-1) + `(?, ?))
	SELECT EXISTS (SELECT 1 FROM asked CROSS JOIN queue_seen USING (subscription, key))`

// unseen makes sure that nobody acted on any of the keys, which are pairs of a
// subscription and a key.
func unseen(tx *Tx, keys []any) error {
	for some := range slices.Chunk(keys, 2*together) {
		for len(some) < 2*together { // one length, and so one prepared statement
			some = append(some, some[0], some[1])
		}
		var seen bool
		if err := tx.scan(&seen, lookForSeen, some...); err != nil {
			return fmt.Errorf("look for what was handled: %w", err)
		}
		if seen {
			return errSeen
		}
	}
	return nil
}

// scan runs a query of one row with one column, with a statement that is kept:
// the row is read before it can run again.
func (tx *Tx) scan(into any, query string, args ...any) error {
	st, err := tx.w.prepare(query) //nolint:sqlclosecheck // kept until the connection closes
	if err != nil {
		return wrap(err)
	}
	if st == nil {
		return wrap(tx.QueryRow(query, args...).Scan(into))
	}
	return wrap(st.QueryRowContext(context.Background(), args...).Scan(into))
}
