package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Retention is how much the database keeps.
type Retention struct {
	Time time.Duration
	Size int64 // bytes of blocks; 0 means no limit
}

// Storage is the time series database with a way out when the disk is full:
// samples stay in memory meanwhile, and are written once the database was closed
// and opened again with room. What stands behind a torn page of its log would be
// lost at the next start.
//
// It implements what the engine asks of a storage. A querier or an appender
// holds the database open until it is closed, committed or rolled back.
type Storage struct {
	dir      string
	log      *slog.Logger
	registry prometheus.Registerer
	space    *space
	metrics  *storageMetrics

	mu         sync.RWMutex // held for reading while the database is in use
	db         *tsdb.DB     // nil while it cannot be opened
	stats      *tsdb.DBStats
	scope      *scope
	retention  Retention
	generation uint64

	aside atomic.Bool // samples go to memory
	ram   *ram
}

type storageMetrics struct {
	aside    prometheus.Gauge
	kept     prometheus.Counter
	dropped  prometheus.Counter
	reopened prometheus.Counter
}

func newStorageMetrics(reg prometheus.Registerer) *storageMetrics {
	f := promauto.With(reg)
	return &storageMetrics{
		aside: f.NewGauge(prometheus.GaugeOpts{
			Name: "collie_alerting_storage_aside", Help: "1 while samples are kept in memory because the disk has no room for them.",
		}),
		kept: f.NewCounter(prometheus.CounterOpts{
			Name: "collie_alerting_storage_samples_aside_total", Help: "Samples that were kept in memory while the disk had no room.",
		}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "collie_alerting_storage_samples_dropped_total", Help: "Samples for which neither the disk nor the memory had room.",
		}),
		reopened: f.NewCounter(prometheus.CounterOpts{
			Name: "collie_alerting_storage_reopened_total", Help: "Times that the database of samples was opened again.",
		}),
	}
}

// OpenStorage opens the database below dir. A database that cannot be opened
// is tried again by Look; samples stay in memory until then.
func OpenStorage(dir string, r Retention, log *slog.Logger, reg prometheus.Registerer, low func() bool) *Storage {
	s := &Storage{
		dir: filepath.Join(dir, "tsdb"), log: log, registry: reg, retention: r, ram: newRAM(),
		space: &space{dir: dir, low: low}, metrics: newStorageMetrics(reg), stats: tsdb.NewDBStats(),
	}
	if !s.space.enough() {
		s.setAside("little room at the start", nil)
	}
	if err := s.open(); err != nil {
		s.setAside("the database of samples cannot be opened", err)
	}
	return s
}

// open is called with mu held, or before anybody else knows s.
func (s *Storage) open() error {
	o := tsdb.DefaultOptions()
	// Small buffers: there are thousands of series here, not millions.
	o.StripeSize, o.WALSegmentSize, o.HeadChunksWriteBufferSize = 256, 8<<20, 64<<10
	o.RetentionDuration, o.MaxBytes = s.retention.Time.Milliseconds(), s.retention.Size
	scope := newScope(s.registry)
	stats := tsdb.NewDBStats()
	db, err := tsdb.Open(s.dir, s.log, scope, o, stats)
	if err != nil {
		scope.unregister()
		return fmt.Errorf("open the database of samples: %w", err)
	}
	s.db, s.stats, s.scope = db, stats, scope
	s.generation++
	return nil
}

func (s *Storage) close() error {
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.scope.unregister()
	s.db = nil
	return err
}

// Close ends the use of the database. Nothing may use s at that time.
func (s *Storage) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

// setAside makes samples go to memory from now on.
func (s *Storage) setAside(why string, err error) {
	if s.aside.Swap(true) {
		return
	}
	s.metrics.aside.Set(1)
	s.log.Warn("samples are kept in memory until there is room on the disk", "reason", why, "err", err)
}

// Aside reports that samples are kept in memory for want of room.
func (s *Storage) Aside() bool { return s.aside.Load() }

// Look measures the room on the disk: with too little of it samples go aside,
// with enough of it again the database is opened anew and takes them.
func (s *Storage) Look(ctx context.Context) {
	switch {
	case !s.aside.Load() && s.space.tight():
		s.setAside("the disk is nearly full", nil)
	case s.aside.Load() && s.space.enough():
		if err := s.reopen(ctx); err != nil {
			s.log.Debug("the database of samples cannot be opened yet", "err", err)
		}
	}
}

// SetRetention changes how much is kept, for which the database is opened anew.
func (s *Storage) SetRetention(ctx context.Context, r Retention) error {
	s.mu.RLock()
	same := r == s.retention
	s.mu.RUnlock()
	if same {
		return nil
	}
	return s.exclusive(ctx, func() error {
		s.retention = r
		if s.aside.Load() {
			return nil
		}
		return errors.Join(s.close(), s.open())
	})
}

// exclusive calls f while nobody uses the database. It does not make others
// wait behind a long query.
func (s *Storage) exclusive(ctx context.Context, f func() error) error {
	for !s.mu.TryLock() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	defer s.mu.Unlock()
	return f()
}

func (s *Storage) reopen(ctx context.Context) error {
	return s.exclusive(ctx, func() error {
		if err := s.close(); err != nil {
			s.log.Warn("close the database of samples", "err", err)
		}
		if err := s.open(); err != nil {
			return err
		}
		s.metrics.reopened.Inc()
		s.aside.Store(false)
		s.metrics.aside.Set(0)
		n, err := s.restore(ctx)
		s.log.Info("samples go to the disk again", "samples", n, "err", err)
		return nil
	})
}

// restore writes what was kept in memory. What the database has already, or is
// too late for, is left out.
func (s *Storage) restore(ctx context.Context) (n int, err error) {
	app := s.db.Appender(ctx)
	for _, series := range s.ram.drain() {
		var ref storage.SeriesRef
		for _, p := range series.samples {
			r, err := app.Append(ref, series.labels, p.T(), p.F())
			if err == nil {
				ref = r
				n++
			}
		}
	}
	return n, app.Commit()
}

// Querier implements storage.Queryable: what is on disk and what is in memory.
func (s *Storage) Querier(mint, maxt int64) (storage.Querier, error) {
	s.mu.RLock()
	var queriers []storage.Querier
	if s.db != nil {
		q, err := s.db.Querier(mint, maxt)
		if err != nil {
			s.mu.RUnlock()
			return nil, err
		}
		queriers = append(queriers, q)
	}
	if !s.ram.empty() || len(queriers) == 0 {
		queriers = append(queriers, ramQuerier{s.ram, mint, maxt})
	}
	return &heldQuerier{Querier: storage.NewMergeQuerier(queriers, nil, storage.ChainedSeriesMerge), release: sync.OnceFunc(s.mu.RUnlock)}, nil
}

type heldQuerier struct {
	storage.Querier
	release func()
}

func (q *heldQuerier) Close() error {
	defer q.release()
	return q.Querier.Close()
}

// ChunkQuerier implements storage.ChunkQueryable, for remote reading: of what
// is on disk.
func (s *Storage) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	s.mu.RLock()
	if s.db == nil {
		s.mu.RUnlock()
		return nil, tsdb.ErrNotReady
	}
	q, err := s.db.ChunkQuerier(mint, maxt)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	return &heldChunkQuerier{ChunkQuerier: q, release: sync.OnceFunc(s.mu.RUnlock)}, nil
}

type heldChunkQuerier struct {
	storage.ChunkQuerier
	release func()
}

func (q *heldChunkQuerier) Close() error {
	defer q.release()
	return q.ChunkQuerier.Close()
}

// ExemplarQuerier implements storage.ExemplarQueryable. No exemplars are kept.
func (s *Storage) ExemplarQuerier(context.Context) (storage.ExemplarQuerier, error) {
	return noExemplars{}, nil
}

// isFull reports a disk, or a quota, that took no more.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// The rest is what the API asks of a database.

// StartTime implements storage.Storage.
func (s *Storage) StartTime() (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return 0, tsdb.ErrNotReady
	}
	return s.db.StartTime()
}

var errNoAdmin = errors.New("the database of samples cannot be changed by the API")

// CleanTombstones implements the API's database.
func (*Storage) CleanTombstones() error { return errNoAdmin }

// Delete implements the API's database.
func (*Storage) Delete(context.Context, int64, int64, ...*labels.Matcher) error { return errNoAdmin }

// Snapshot implements the API's database.
func (*Storage) Snapshot(string, bool) error { return errNoAdmin }

// Stats implements the API's database.
func (s *Storage) Stats(byLabel string, limit int) (*tsdb.Stats, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return nil, tsdb.ErrNotReady
	}
	return s.db.Head().Stats(byLabel, limit), nil
}

// WALReplayStatus implements the API's database.
func (s *Storage) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stats.Head.WALReplayStatus.GetWALReplayStatus(), nil
}
