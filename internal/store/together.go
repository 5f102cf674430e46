package store

import (
	"errors"

	"github.com/colliehq/collie/internal/queue"
)

// runTogether runs the requests of a batch that only publish, all at once, and
// returns those that are still to be run: the others, or all if it did not work
// out. The error it returns is one of the transaction that all share.
func (s *Store) runTogether(w *conn, batch []*request) (rest []*request, err error) {
	var first *request
	var msgs []queue.Message
	publishers := 0
	for _, r := range batch {
		if len(r.msgs) == 0 {
			rest = append(rest, r)
			continue
		}
		if first == nil {
			first = r
		}
		publishers++
		msgs = append(msgs, r.msgs...)
	}
	if publishers < 2 || s.refuses() != nil {
		return batch, nil //nolint:nilerr // each of them is told by itself
	}
	if err := w.exec(`SAVEPOINT one`); err != nil {
		return nil, err
	}
	cause := s.book.EnqueueTogether(first.tx, msgs)
	if cause == nil {
		return rest, w.exec(`RELEASE one`)
	}
	first.tx.finish(false)
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
