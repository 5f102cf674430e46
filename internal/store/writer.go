package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// maxBatch bounds how many functions share one commit.
const maxBatch = 256

// request is one call of Tx, or with alone, of something that needs the file
// without a transaction.
type request struct {
	f    func(*Tx) error
	msgs []queue.Message // f only publishes these
	// unless is a subscription: f publishes only what it has not acted on.
	unless string
	alone  func(*conn) error
	begun  atomic.Bool // by the writer, or by a caller that gave up
	done   chan struct{}
	err    error
	panic  any
	tx     *Tx
}

// Tx runs f in a transaction and returns nil once it is durable. Functions of
// several callers may share a commit; an error or a panic of one takes back
// only what that one did. f must not call Tx or View. If the disk is full the
// error wraps queue.ErrFull and nothing was stored; after a failed sync it
// wraps queue.ErrUnknown. Once f began, the end of ctx is not waited for.
func (s *Store) Tx(ctx context.Context, f func(*Tx) error) error {
	return s.submit(ctx, &request{f: f, done: make(chan struct{})})
}

// Publish is Tx with nothing but Enqueue. What several callers publish at the
// same time is written together, which is faster.
func (s *Store) Publish(ctx context.Context, msgs ...queue.Message) error {
	return s.submit(ctx, &request{f: func(tx *Tx) error { return tx.Enqueue(msgs...) }, msgs: msgs, done: make(chan struct{})})
}

// PublishOnce publishes a message unless its key is known (see [Tx.Known]), and
// reports whether it did. What several callers publish at the same time is
// written together.
func (s *Store) PublishOnce(ctx context.Context, subscription string, m queue.Message) (first bool, err error) {
	first = true // what is written together is new
	err = s.submit(ctx, &request{msgs: []queue.Message{m}, unless: subscription, done: make(chan struct{}), f: func(tx *Tx) error {
		known, err := tx.Known(subscription, m.Topic, m.Key)
		if first = !known; err != nil || known {
			return err
		}
		return tx.Enqueue(m)
	}})
	return first, err
}

// exclusive runs f on the writer's goroutine, between transactions.
func (s *Store) exclusive(ctx context.Context, f func(*conn) error) error {
	return s.submit(ctx, &request{alone: f, done: make(chan struct{})})
}

func (s *Store) submit(ctx context.Context, r *request) error {
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.stopped:
		return s.gone()
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.begun.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
		<-r.done
	case <-s.stopped:
		if r.begun.CompareAndSwap(false, true) {
			return s.gone()
		}
		<-r.done
	}
	if r.panic != nil {
		panic(r.panic)
	}
	return r.err
}

func (s *Store) gone() error {
	select {
	case <-s.fatal:
		return fmt.Errorf("%w: %w", ErrClosed, s.err)
	default:
		return ErrClosed
	}
}

// write is the writer: it commits for whoever waits, until the store closes or
// gives up.
func (s *Store) write(w *conn) {
	defer close(s.stopped)
	defer s.refuseRest()
	batch := make([]*request, 0, maxBatch)
	for {
		var err error
		select {
		case <-s.stop:
			s.finish(w)
			return
		case failed := <-w.log.done:
			err = s.checkpointed(w, failed)
		case r := <-s.requests:
			if len(batch) > 1 {
				runtime.Gosched() // let those who were just answered come again: they share the next sync
			}
			batch = s.gather(append(batch[:0], r))
			if err = s.serve(w, batch); err == nil {
				err = s.checkpoint(w)
			}
		}
		if err != nil {
			if w = s.recover(w, err); w == nil {
				return
			}
		}
	}
}

// crowd is a batch from which more are expected soon, and yields is how often
// they are let run first.
const (
	crowd  = 8
	yields = 4
)

// gather takes what waits already. It does not wait for more: a lone writer
// pays one sync and no delay. In a crowd those who were just answered are let
// run, since they are about to come again.
func (s *Store) gather(batch []*request) []*request {
	left := yields
	for len(batch) < maxBatch && batch[len(batch)-1].alone == nil {
		select {
		case r := <-s.requests:
			batch = append(batch, r)
			continue
		default:
		}
		if len(batch) < crowd || left == 0 {
			return batch
		}
		left--
		runtime.Gosched()
	}
	return batch
}

// serve answers a batch. The error it returns is one of the disk, after which
// the connection is not to be trusted.
func (s *Store) serve(w *conn, batch []*request) error {
	last := batch[len(batch)-1]
	if last.alone == nil {
		return s.commit(w, claimed(batch))
	}
	err := s.commit(w, claimed(batch[:len(batch)-1]))
	if last.begun.CompareAndSwap(false, true) {
		last.err = last.alone(w)
		close(last.done)
	}
	return err
}

// claimed leaves out the requests whose callers gave up.
func claimed(batch []*request) []*request {
	kept := batch[:0]
	for _, r := range batch {
		if r.begun.CompareAndSwap(false, true) {
			kept = append(kept, r)
		}
	}
	return kept
}

// commit runs the functions of a batch in one transaction and answers them.
func (s *Store) commit(w *conn, batch []*request) (broken error) {
	if len(batch) == 0 {
		return nil
	}
	s.space.look()
	err := s.attempt(w, batch)
	if isFull(err) {
		s.space.full()
	}
	for i := len(batch) - 1; i >= 0 && err != nil; i-- { // the latest first
		batch[i].tx.finish(false)
	}
	for _, r := range batch {
		r.tx.finish(true)
		if r.err == nil {
			r.err = outcome(err)
		}
		close(r.done)
	}
	if isFull(err) || isBusy(err) {
		return nil // rolled back, and the file is as it was
	}
	return err
}

// outcome is what a caller hears of a commit that failed.
func outcome(err error) error {
	switch {
	case err == nil || isFull(err):
		return wrap(err)
	case isBusy(err):
		return fmt.Errorf("another program holds a lock on the data file: %w", err)
	}
	return fmt.Errorf("%w: commit: %w", queue.ErrUnknown, err)
}

// attempt runs the batch and commits what did not fail by itself. An error
// means that nothing of the batch is known to be stored.
func (s *Store) attempt(w *conn, batch []*request) error {
	for _, r := range batch {
		r.tx = &Tx{w: w, s: s}
	}
	if err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	good, err := s.runAll(w, batch)
	if err == nil && good > 0 {
		begin := time.Now()
		err = w.exec(`COMMIT`)
		s.metrics.committed(good, time.Since(begin), err)
	}
	if err != nil || good == 0 {
		// A full disk makes SQLite roll back by itself; then this one fails.
		if rollback := w.exec(`ROLLBACK`); err == nil && !isMisuse(rollback) {
			return rollback
		}
	}
	return err
}

func (s *Store) runAll(w *conn, batch []*request) (good int, err error) {
	rest, err := s.runTogether(w, batch)
	if err != nil {
		return 0, err
	}
	good = len(batch) - len(rest)
	for _, r := range rest {
		if err := s.runOne(w, r, len(batch) > 1); err != nil {
			return 0, err
		}
		if r.err == nil && r.panic == nil {
			good++
		}
	}
	return good, nil
}

// runOne runs one function. The error it returns is one of the transaction
// that all share; the function's own error stays in r.
func (s *Store) runOne(w *conn, r *request, shared bool) error {
	if shared {
		if err := w.exec(`SAVEPOINT one`); err != nil {
			return err
		}
	}
	r.call()
	if r.err != nil || r.panic != nil {
		r.tx.finish(false)
	}
	if isIO(r.err) {
		return r.err // what it read or wrote is in doubt, and the cache with it
	}
	if !shared {
		return nil
	}
	if r.err == nil && r.panic == nil {
		return w.exec(`RELEASE one`)
	}
	// A full disk makes SQLite roll back everything; then there is no
	// savepoint left, and that is the error of all.
	if err := errors.Join(w.exec(`ROLLBACK TO one`), w.exec(`RELEASE one`)); err != nil {
		if isFull(r.err) {
			return r.err
		}
		return err
	}
	return nil
}

func (r *request) call() {
	defer func() {
		r.tx.over = true
		if p := recover(); p != nil {
			r.panic = p
		}
	}()
	r.err = r.f(r.tx)
}

// refuseRest answers what is still waiting when the writer ends.
func (s *Store) refuseRest() {
	for {
		select {
		case r := <-s.requests:
			if r.begun.CompareAndSwap(false, true) {
				r.err = s.gone()
				close(r.done)
			}
		default:
			return
		}
	}
}
