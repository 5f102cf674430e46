package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// lookback is how far back a query looks for the newest sample of a series.
const lookback = 5 * time.Minute

// Forget ends the recorded series that no rule made since a time. Prometheus
// ends a series when its rule stops making it, but knows of none of the last
// session: what was recorded before a restart would go on for as long as a
// query looks back, five minutes, and with it alerts on it.
func (e *Engine) Forget(ctx context.Context, since time.Time) error {
	names := map[string]bool{}
	for _, g := range e.rules.RuleGroups() {
		for _, r := range g.Rules() {
			if recorded, ok := r.(*rules.RecordingRule); ok {
				names[recorded.Name()] = true
			}
		}
	}
	now := time.Now()
	app := e.storage.Appender(ctx)
	for name := range names {
		old, err := e.olderThan(ctx, name, since, now)
		if err != nil {
			return errors.Join(err, app.Rollback())
		}
		for _, ls := range old {
			if _, err := app.Append(0, ls, now.UnixMilli(), math.Float64frombits(value.StaleNaN)); err != nil {
				return errors.Join(fmt.Errorf("end the series %s: %w", ls, err), app.Rollback())
			}
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("end recorded series: %w", err)
	}
	return nil
}

// olderThan are the series of a name that a query sees now, and whose newest
// sample is from before a time.
func (e *Engine) olderThan(ctx context.Context, name string, since, now time.Time) (old []labels.Labels, err error) {
	from, until := now.Add(-lookback).UnixMilli(), now.UnixMilli()
	q, err := e.storage.Querier(from, until)
	if err != nil {
		return nil, fmt.Errorf("read recorded series: %w", err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(ctx, false, &storage.SelectHints{Start: from, End: until}, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name))
	var points chunkenc.Iterator
	for set.Next() {
		points = set.At().Iterator(points)
		var at int64
		var last float64
		for points.Next() == chunkenc.ValFloat {
			at, last = points.At()
		}
		if at != 0 && at < since.UnixMilli() && !value.IsStaleNaN(last) {
			old = append(old, set.At().Labels())
		}
	}
	return old, set.Err()
}
