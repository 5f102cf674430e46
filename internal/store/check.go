package store

import (
	"context"
	"database/sql"
)

// Results of the check, as the metric shows them.
const (
	checkNone    = 0 // the last stop was clean
	checkRunning = 1
	checkOK      = 2
	checkFailed  = 3
)

// quickCheck reads the whole file after an unclean stop, beside the work.
func (s *Store) quickCheck(ctx context.Context) {
	if !s.unclean {
		return
	}
	s.metrics.check.Set(checkRunning)
	var found string
	err := s.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	})
	switch {
	case ctx.Err() != nil:
	case err != nil || found != "ok":
		s.metrics.check.Set(checkFailed)
		s.o.Log.Error("the data file is damaged: stop collie and restore it from a backup", "found", found, "err", err)
	default:
		s.metrics.check.Set(checkOK)
		s.o.Log.Info("checked the data file after an unclean stop", "result", found)
	}
}
