package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const (
	pageSize = 4096 // SQLite's default; a message of 4 KiB takes 1.1 pages
	// checkpointPages is the length of the log, in pages, from which it is
	// written back. Longer means fewer syncs of the file and a slower
	// start after a crash.
	checkpointPages = 2048
	// checkpointEvery is how many commits pass between two looks at the log.
	checkpointEvery = 16
	// finishPages is what the writer itself writes back, to let the log start
	// over, after a helper wrote back the bulk beside it.
	finishPages = 128
	// finishPasses bounds how often the helper follows a writer that outruns
	// it.
	finishPasses = 4
)

// checkpointer writes the log back into the file beside the writer, which only
// does the last few pages itself: the log can start over only when nothing is
// left in it.
type checkpointer struct {
	db      *sql.DB
	running bool
	done    chan error
	commits uint64
}

func openCheckpointer(path string) (*checkpointer, error) {
	db, err := sql.Open("sqlite", dsn(path, "synchronous(FULL)", "wal_autocheckpoint(0)"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return &checkpointer{db: db, done: make(chan error, 1)}, nil
}

// wait waits for a checkpoint that runs.
func (l *checkpointer) wait() {
	if l.running {
		<-l.done //nolint:errcheck // an error does not matter to those who close the file
		l.running = false
	}
}

func (l *checkpointer) run() error {
	for range finishPasses {
		_, pages, written, err := walCheckpoint(l.db, "PASSIVE")
		if err != nil || pages-written <= finishPages {
			return err
		}
	}
	return nil
}

// checkpoint starts writing the log back once it is long enough.
func (s *Store) checkpoint(w *conn) error {
	l := w.log
	l.commits++
	tight := s.space.low.Load() // then the log must not outgrow the reserve
	if l.running || (l.commits%checkpointEvery != 0 && !tight) {
		return nil
	}
	_, pages, _, err := walCheckpoint(w.conn, "NOOP")
	if err != nil || pages < s.space.logPages() {
		return err
	}
	if tight {
		return s.checkpointed(w, nil)
	}
	l.running = true
	go func() { l.done <- l.run() }()
	return nil
}

// checkpointed follows a checkpoint that ended with err: what is left is
// written by the writer, so that the log can start over.
func (s *Store) checkpointed(w *conn, err error) error {
	w.log.running = false
	var pages, written int
	if err == nil {
		_, pages, written, err = walCheckpoint(w.conn, "PASSIVE")
	}
	s.metrics.walPages.Set(float64(pages - written))
	if isFull(err) {
		s.space.full()
		return nil // the log keeps everything, and is tried again
	}
	return err
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// walCheckpoint reports whether others were in the way, how many pages the log
// holds and how many of them are written back.
func walCheckpoint(q querier, mode string) (busy, pages, written int, err error) {
	err = q.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &pages, &written)
	if err != nil {
		return 0, 0, 0, errors.Join(errors.New("write the log back"), err)
	}
	return busy, pages, written, nil
}
