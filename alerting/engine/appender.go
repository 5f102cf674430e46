package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// Appender implements storage.Appendable.
func (s *Storage) Appender(ctx context.Context) storage.Appender {
	s.mu.RLock()
	a := &appender{s: s, generation: s.generation, release: sync.OnceFunc(s.mu.RUnlock)}
	if s.db != nil && !s.aside.Load() {
		a.disk = s.db.Appender(ctx)
	}
	return a
}

// appender writes one batch to the disk, and to memory if the disk takes it
// not.
type appender struct {
	s          *Storage
	disk       storage.Appender // nil: to memory
	batch      []batchSample
	generation uint64
	release    func()
}

// References to series are the database's own numbers, and callers remember
// them. One that was opened anew has others: the number of the opening is
// carried in the upper bits, and a reference of another opening is not used.
const refBits = 48

func (a *appender) inner(ref storage.SeriesRef) storage.SeriesRef {
	if uint64(ref)>>refBits != a.generation&(1<<(64-refBits)-1) {
		return 0
	}
	return ref & (1<<refBits - 1)
}

func (a *appender) outer(ref storage.SeriesRef) storage.SeriesRef {
	if ref == 0 {
		return 0
	}
	return ref | storage.SeriesRef(a.generation<<refBits)
}

func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	if a.disk != nil {
		r, err := a.disk.Append(a.inner(ref), l, t, v)
		if err != nil {
			return 0, err
		}
		ref = a.outer(r)
	}
	a.batch = append(a.batch, batchSample{l, sample{t, v}})
	return ref, nil
}

// Commit never fails for want of room.
func (a *appender) Commit() error {
	defer a.release()
	if a.disk != nil {
		err := a.disk.Commit()
		if err == nil {
			return nil
		}
		if !isFull(err) {
			return fmt.Errorf("write samples: %w", err)
		}
		a.s.setAside("the disk is full", err)
	}
	a.s.metrics.kept.Add(float64(len(a.batch)))
	if dropped := a.s.ram.add(a.batch); dropped > 0 {
		a.s.metrics.dropped.Add(float64(dropped))
	}
	return nil
}

func (a *appender) Rollback() error {
	defer a.release()
	if a.disk == nil {
		return nil
	}
	return a.disk.Rollback()
}

func (a *appender) SetOptions(o *storage.AppendOptions) {
	if a.disk != nil {
		a.disk.SetOptions(o)
	}
}

// What follows is neither scraped nor kept by this engine: exemplars, native
// histograms, metadata and created timestamps.

var errFloatsOnly = errors.New("only samples of floating point numbers are kept")

func (*appender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

func (*appender) AppendHistogram(storage.SeriesRef, labels.Labels, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, errFloatsOnly
}

func (*appender) AppendHistogramCTZeroSample(storage.SeriesRef, labels.Labels, int64, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, errFloatsOnly
}

func (*appender) UpdateMetadata(ref storage.SeriesRef, _ labels.Labels, _ metadata.Metadata) (storage.SeriesRef, error) {
	return ref, nil
}

func (*appender) AppendCTZeroSample(ref storage.SeriesRef, _ labels.Labels, _, _ int64) (storage.SeriesRef, error) {
	return ref, nil
}

// noExemplars implements storage.ExemplarQuerier.
type noExemplars struct{}

func (noExemplars) Select(int64, int64, ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	return nil, nil
}
