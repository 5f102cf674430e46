package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// checkpointPages is the length of the log, in pages of 4 KiB, from which it
// is written back. Longer means fewer syncs of the file and a slower start
// after a crash.
const checkpointPages = 2048

// checkpointEvery is how many commits pass between two looks at the log.
const checkpointEvery = 16

// checkpoint writes the log back once it is long enough. Callers were answered
// before, so nobody waits for it but those who come next.
func (s *Store) checkpoint(w *conn) error {
	w.commits++
	if w.commits%checkpointEvery != 0 {
		return nil
	}
	_, pages, _, err := w.walCheckpoint("NOOP")
	if err != nil || pages < checkpointPages {
		return err
	}
	_, pages, written, err := w.walCheckpoint("PASSIVE")
	if isFull(err) {
		s.space.full()
		return nil // the log keeps everything; the next look tries again
	}
	s.metrics.walPages.Set(float64(pages - written))
	return err
}

func (c *conn) walCheckpoint(mode string) (busy, pages, written int, err error) {
	err = c.conn.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &pages, &written)
	return busy, pages, written, err
}

// retryFull is the pause between two attempts to open again on a full disk.
const retryFull = time.Second

// recover brings the store back after the disk failed. What the kernel held of
// the file since the last good sync may be gone, and syncing again would not
// say so: everything is closed, read anew, and written back with a sync of its
// own before anybody is answered. It returns nil once the store gave up.
func (s *Store) recover(w *conn, cause error) *conn {
	s.o.Log.Error("disk failed, reopening the data file", "err", cause)
	s.metrics.failures.Inc()
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
		if !s.wait(retryFull, wrap(err)) {
			s.err = err
			return nil
		}
	}
}

// wait answers everybody with err for a while. It returns false if the store
// closes.
func (s *Store) wait(d time.Duration, err error) bool {
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
	busy, _, _, err := w.walCheckpoint("TRUNCATE")
	if err != nil {
		return fmt.Errorf("write the log back: %w", err)
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
	err := s.commit(w, []*request{r})
	if err = errors.Join(err, r.err, w.close()); err != nil {
		s.o.Log.Warn("data file was not closed cleanly", "err", err)
	}
}
