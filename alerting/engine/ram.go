package engine

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// Bounds of what is kept in memory while the disk takes nothing: longer than
// the 5 minutes for which PromQL looks back.
const (
	ramAge     = 15 * 60 * 1000 // milliseconds
	ramSamples = 1 << 20        // at 16 bytes each
)

// ram keeps recent samples while they cannot go to disk, so that rules are
// evaluated as before. It is a storage of its own, merged with the one on disk
// when it is read.
type ram struct {
	mu     sync.RWMutex
	series map[uint64][]*ramSeries // by the hash of the labels
	count  int
	newest int64
}

type ramSeries struct {
	labels  labels.Labels
	samples []chunks.Sample // in order of time
}

// sample is a chunks.Sample of a float.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                    { return s.t }
func (s sample) F() float64                  { return s.v }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

// batchSample is a sample and the series that it belongs to.
type batchSample struct {
	labels labels.Labels
	sample
}

func newRAM() *ram { return &ram{series: map[uint64][]*ramSeries{}} }

// add takes the samples of one commit, and returns how many it had no room for.
func (r *ram) add(batch []batchSample) (dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range batch {
		r.newest = max(r.newest, s.t)
	}
	if r.count+len(batch) > ramSamples {
		r.prune()
	}
	for _, s := range batch {
		if r.count >= ramSamples || !r.append(s) {
			dropped++
		}
	}
	return dropped
}

func (r *ram) append(s batchSample) bool {
	hash := s.labels.Hash()
	var found *ramSeries
	for _, known := range r.series[hash] {
		if labels.Equal(known.labels, s.labels) {
			found = known
			break
		}
	}
	if found == nil {
		found = &ramSeries{labels: s.labels.Copy()}
		r.series[hash] = append(r.series[hash], found)
	}
	if n := len(found.samples); n > 0 && found.samples[n-1].T() >= s.t {
		return false // out of order, as the TSDB would say
	}
	found.samples = append(found.samples, s.sample)
	r.count++
	return true
}

// prune forgets what is too old.
func (r *ram) prune() {
	for hash, list := range r.series {
		kept := list[:0]
		for _, s := range list {
			old := 0
			for old < len(s.samples) && s.samples[old].T() < r.newest-ramAge {
				old++
			}
			r.count -= old
			if s.samples = slices.Clone(s.samples[old:]); len(s.samples) > 0 {
				kept = append(kept, s)
			}
		}
		if len(kept) == 0 {
			delete(r.series, hash)
			continue
		}
		r.series[hash] = kept
	}
}

// drain gives back everything and is empty afterwards.
func (r *ram) drain() []*ramSeries {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*ramSeries
	for _, list := range r.series {
		all = append(all, list...)
	}
	r.series, r.count, r.newest = map[uint64][]*ramSeries{}, 0, 0
	return all
}

func (r *ram) empty() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.count == 0
}

// ramQuerier implements storage.Querier.
type ramQuerier struct {
	ram        *ram
	mint, maxt int64
}

func (q ramQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	q.ram.mu.RLock()
	defer q.ram.mu.RUnlock()
	var found []storage.Series
	for _, list := range q.ram.series {
		for _, s := range list {
			if !matches(s.labels, matchers) {
				continue
			}
			var in []chunks.Sample
			for _, p := range s.samples {
				if p.T() >= q.mint && p.T() <= q.maxt {
					in = append(in, p)
				}
			}
			if len(in) > 0 {
				found = append(found, storage.NewListSeries(s.labels, in))
			}
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &listSet{series: found, at: -1}
}

func matches(ls labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (q ramQuerier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.collect(matchers, func(ls labels.Labels, add func(string)) {
		if v := ls.Get(name); v != "" {
			add(v)
		}
	}), nil, nil
}

func (q ramQuerier) LabelNames(_ context.Context, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.collect(matchers, func(ls labels.Labels, add func(string)) {
		ls.Range(func(l labels.Label) { add(l.Name) })
	}), nil, nil
}

func (q ramQuerier) collect(matchers []*labels.Matcher, each func(labels.Labels, func(string))) []string {
	q.ram.mu.RLock()
	defer q.ram.mu.RUnlock()
	found := map[string]bool{}
	for _, list := range q.ram.series {
		for _, s := range list {
			if matches(s.labels, matchers) {
				each(s.labels, func(v string) { found[v] = true })
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (ramQuerier) Close() error { return nil }

// listSet implements storage.SeriesSet.
type listSet struct {
	series []storage.Series
	at     int
}

func (s *listSet) Next() bool {
	s.at++
	return s.at < len(s.series)
}

func (s *listSet) At() storage.Series              { return s.series[s.at] }
func (*listSet) Err() error                        { return nil }
func (*listSet) Warnings() annotations.Annotations { return nil }
