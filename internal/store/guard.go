package store

import (
	"context"
	"fmt"
	"time"
)

// Remember is how long Once knows what was acted on.
const Remember = 7 * 24 * time.Hour

const (
	lookEvery = time.Second
	tidyEvery = time.Minute
	purgeStep = 1000 // rows, so that nobody waits long behind a purge
)

// Guard is the task that looks after an open store: room on the disk, what is
// to be forgotten, and a check of the file after an unclean stop. Its Run
// fails when the store gave up, and the process is to end then.
type Guard struct {
	s   *Store
	low bool // as it was logged
}

// Guard of the store. It is run once, while the store is open.
func (s *Store) Guard() *Guard { return &Guard{s: s} }

// Name of the task.
func (g *Guard) Name() string { return "store" }

// Ready is closed: an open store can be used.
func (g *Guard) Ready() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Run guards until ctx ends, then returns nil; or until the disk cannot be
// trusted any more, then returns why.
func (g *Guard) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		g.s.quickCheck(ctx)
	}()
	defer func() { <-checked }()
	defer cancel()

	look, tidy := time.NewTicker(lookEvery), time.NewTicker(tidyEvery)
	defer look.Stop()
	defer tidy.Stop()
	g.look()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.s.fatal:
			return fmt.Errorf("store: %w", g.s.err)
		case <-look.C:
			g.look()
			g.makeRoom(ctx)
		case <-tidy.C:
			g.tidy(ctx)
		}
	}
}

func (g *Guard) look() {
	sp, log := g.s.space, g.s.o.Log
	sp.look()
	if err := sp.restock(); err != nil {
		log.Debug("no ballast", "err", err)
	}
	low := sp.low.Load()
	if low && !g.low {
		log.Warn("disk is nearly full: the ballast is given away, and soon nothing more is published", "free_bytes", sp.free.Load())
	}
	if !low && g.low {
		log.Info("disk has room again", "free_bytes", sp.free.Load())
	}
	g.low = low
}

// makeRoom gives back what the queue drained, while the disk is nearly full:
// pages that are unused inside the file are no room that can be seen.
func (g *Guard) makeRoom(ctx context.Context) {
	if !g.low {
		return
	}
	err := g.s.shrink(ctx, shrinkTight, shrinkTight)
	if err == nil {
		err = g.s.exclusive(ctx, func(w *conn) error {
			w.log.wait()
			_, _, _, err := walCheckpoint(w.conn, "TRUNCATE")
			return err
		})
	}
	if err != nil && ctx.Err() == nil {
		g.s.o.Log.Debug("no room could be made", "err", err)
	}
	g.s.space.look()
}

// SpaceLow reports that the disk is nearly full. Who writes in bulk stops
// then: what is left is for the queue and the record.
func (s *Store) SpaceLow() bool { return s.space.low.Load() }

// tidy forgets what is old and gives unused pages back to the file system.
func (g *Guard) tidy(ctx context.Context) {
	err := g.s.Tx(ctx, func(tx *Tx) error { return g.s.book.SaveClock(tx) })
	if err == nil {
		err = g.s.purge(ctx)
	}
	if err == nil {
		err = g.s.shrink(ctx, shrinkFrom, shrinkStep)
	}
	if err != nil && ctx.Err() == nil {
		g.s.o.Log.Warn("tidy the data file", "err", err)
	}
}

// purge forgets keys of Once that are older than Remember.
func (s *Store) purge(ctx context.Context) error {
	before := s.now().Add(-Remember).UnixNano()
	for {
		var n int64
		err := s.Tx(ctx, func(tx *Tx) error {
			res, err := tx.Exec(`DELETE FROM queue_seen WHERE (subscription, key) IN
				(SELECT subscription, key FROM queue_seen WHERE at < ? ORDER BY at LIMIT ?)`, before, purgeStep)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("forget old keys: %w", err)
		}
		s.metrics.purged.Add(float64(n))
		if n < purgeStep {
			return nil
		}
	}
}

const (
	shrinkFrom  = 16384 // unused pages that are kept for reuse, 64 MiB
	shrinkStep  = 512   // pages given back at once
	shrinkTight = 32    // the same on a disk that is nearly full: the log has to hold them
)

// shrink gives unused pages back in small steps, once there are so many.
func (s *Store) shrink(ctx context.Context, from int64, step int) error {
	for ctx.Err() == nil {
		var unused int64
		err := s.Tx(ctx, func(tx *Tx) error {
			if err := tx.QueryRow(`PRAGMA freelist_count`).Scan(&unused); err != nil || unused < from {
				return err
			}
			return tx.incrementalVacuum(step)
		})
		if err != nil {
			return fmt.Errorf("give unused pages back: %w", err)
		}
		if unused < from {
			return nil
		}
	}
	return nil
}

// incrementalVacuum steps through the rows of the pragma: it frees one page
// for each step.
func (tx *Tx) incrementalVacuum(pages int) error {
	rows, err := tx.Query(fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, pages))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
