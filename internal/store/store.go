// Package store keeps what must survive: one SQLite file in which a change of
// state and the messages about it are one commit. Writing goes through one
// goroutine that commits for everybody who waits, so that many writers share
// one sync of the disk.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/rows"
)

const (
	fileName = "collie.db"
	readers  = 4 // connections that read while the writer writes
)

// Options of a store.
type Options struct {
	Dir      string // made if it is missing
	Log      *slog.Logger
	Registry prometheus.Registerer
	Now      func() time.Time // wall time of records; nil means time.Now
	// Ballast is how many bytes are kept back, to be released for the queue and
	// the record when the disk is full; 0 means 32 MiB, negative means none. On
	// a small file system it is an eighth of what is free.
	Ballast int64
}

// Store is an open data directory. Its methods may be used by any goroutine.
type Store struct {
	o       Options
	lock    *lock
	book    *rows.Book
	metrics *metrics
	space   *space
	unclean bool

	requests chan *request
	stop     chan struct{}
	stopped  chan struct{}

	mu   sync.RWMutex // guards read and its replacement after a failure
	read *sql.DB

	fatal     chan struct{} // closed once err is set
	err       error         // why the store gave up
	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// Open takes the lock of the data directory, checks that this program can read
// what is there, and makes it if it is empty. The caller closes the store, and
// runs its Guard.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	l, err := takeLock(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, lock: l, book: rows.New(o.Now),
		requests: make(chan *request, maxBatch),
		stop:     make(chan struct{}), stopped: make(chan struct{}), fatal: make(chan struct{}),
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	s.unclean = wasUnclean(s.path())
	s.space = newSpace(s.o)
	s.metrics = newMetrics(s)
	w, err := openWriter(ctx, s.path())
	if err != nil {
		return err
	}
	if s.read, err = openReaders(s.path()); err != nil {
		return errors.Join(err, w.close())
	}
	go s.write(w)
	if err := s.prepare(ctx); err != nil {
		return errors.Join(err, s.halt())
	}
	if err := s.metrics.register(s.o.Registry); err != nil {
		return errors.Join(fmt.Errorf("register metrics of the store: %w", err), s.halt())
	}
	return nil
}

// prepare brings the queue's tables up to date and reads them.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.Migrate(ctx, "queue", queueMigrations()); err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		if err := s.book.Load(tx); err != nil {
			return err
		}
		// Nobody else can hold a lease: the lock is ours.
		return s.book.Recover(tx)
	})
}

func (s *Store) path() string { return filepath.Join(s.o.Dir, fileName) }

func (s *Store) now() time.Time { return s.o.Now() }

// Queue is the book of the queue's tables, for the engine that delivers.
func (s *Store) Queue() *rows.Book { return s.book }

// Log is where the store writes; the engine on it writes there too.
func (s *Store) Log() *slog.Logger { return s.o.Log }

// View runs f on a read-only snapshot. It never waits for the writer.
func (s *Store) View(ctx context.Context, f func(*sql.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed.Load() {
		return ErrClosed
	}
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin reading: %w", err)
	}
	return errors.Join(f(tx), ignoreDone(tx.Rollback()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Close ends the writer, after what is being written, and gives the data
// directory back. What waits gets ErrClosed.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.closed.Store(true)
		s.metrics.unregister(s.o.Registry)
		s.closeErr = errors.Join(s.halt(), s.lock.release())
	})
	return s.closeErr
}

// halt ends the writer and closes the readers. The file is closed last by the
// writer, which leaves no log behind: that is how a clean stop is known.
func (s *Store) halt() error {
	s.mu.Lock()
	err := s.read.Close()
	s.mu.Unlock()
	close(s.stop)
	<-s.stopped
	return err
}

// refuses says why nothing may be published now, if so.
func (s *Store) refuses() error {
	if s.space.critical() {
		return fmt.Errorf("%w: less than %d MiB are free for the data directory", queue.ErrFull, s.space.reserve>>20)
	}
	return nil
}
