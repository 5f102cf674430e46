package engine

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/util/logging"
)

// tracker bounds how many queries run at once. It implements
// promql.QueryTracker, without the file that Prometheus keeps.
type tracker chan struct{}

func newTracker(n int) tracker { return make(tracker, n) }

func (t tracker) GetMaxConcurrent() int { return cap(t) }

func (t tracker) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case t <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (t tracker) Delete(int) { <-t }

func (tracker) Close() error { return nil }

func seconds(n int) model.Duration { return model.Duration(time.Duration(n) * time.Second) }

// noFailureLog refuses what scrape_failure_log_file asks for: a file that
// nobody rotates.
func noFailureLog(string) (*logging.JSONFileLogger, error) {
	return nil, errors.New("scrape_failure_log_file is not in this program: failures are in Collie's own log, at level debug")
}
