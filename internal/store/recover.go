package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// retryFull is the pause between two attempts to open again on a full disk.
const retryFull = time.Second

// recover brings the store back after the disk failed. What the kernel held of
// the file since the last good sync may be gone, and syncing again would not
// say so: everything is closed, read anew, and written back with a sync of its
// own before anybody is answered. It returns nil once the store gave up.
func (s *Store) recover(w *conn, cause error) *conn {
	s.o.Log.Error("disk failed, reopening the data file", "err", cause)
	s.metrics.failures.Inc()
	w.log.wait()
	if err := w.close(); err != nil {
		s.o.Log.Warn("close after a failed disk", "err", err)
	}
	for {
		w, err := s.reopen()
		if err == nil {
			s.o.Log.Info("data file is open again")
			return w
		}
		if !isFull(err) {
			s.err = fmt.Errorf("data file %s cannot be trusted after %w: reopening it failed: %w", s.path(), cause, err)
			s.o.Log.Error("giving up on the data file", "err", s.err)
			close(s.fatal)
			return nil
		}
		s.space.full()
		if !s.refuse(retryFull, wrap(err)) {
			s.err = err
			return nil
		}
	}
}

// refuse answers everybody with err for a while. It returns false if the store
// closes.
func (s *Store) refuse(d time.Duration, err error) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return false
		case <-t.C:
			return true
		case r := <-s.requests:
			if r.begun.CompareAndSwap(false, true) {
				r.err = err
				close(r.done)
			}
		}
	}
}

func (s *Store) reopen() (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.read.Close() // its connections would keep the log from being cut
	w, err := openWriter(context.Background(), s.path())
	if err != nil {
		return nil, err
	}
	if err := s.restore(w); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (s *Store) restore(w *conn) error {
	busy, _, _, err := walCheckpoint(w.conn, "TRUNCATE")
	if err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("write the log back: another process holds the file")
	}
	tx := &Tx{w: w, s: s}
	if err := s.book.Load(tx); err != nil {
		return err
	}
	s.read, err = openReaders(s.path())
	s.book.NotifyAll()
	return err
}

// finish leaves the file as a clean stop does.
func (s *Store) finish(w *conn) {
	r := &request{f: func(tx *Tx) error { return s.book.SaveClock(tx) }, done: make(chan struct{})}
	w.log.wait()
	err := s.commit(w, []*request{r})
	if err = errors.Join(err, r.err, w.close()); err != nil {
		s.o.Log.Warn("data file was not closed cleanly", "err", err)
	}
}
