package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
)

// compare drains the queue and compares what was acted on with what was
// acknowledged.
func compare(ctx context.Context, data, ledger string) (found result, err error) {
	s, q, err := open(ctx, data)
	if err != nil {
		return found, err
	}
	if err = drain(ctx, s, q); err == nil {
		found, err = count(ctx, s, ledger)
	}
	if err == nil {
		err = integrity(ctx, s)
	}
	return found, errors.Join(err, q.Close(), s.Close())
}

func drain(ctx context.Context, s *store.Store, q queue.Queue) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	done := make(chan error, 1)
	go func() { done <- act(ctx, s, q) }()
	err := awaitEmpty(ctx, q)
	stop()
	return errors.Join(err, <-done)
}

func awaitEmpty(ctx context.Context, q queue.Queue) error {
	for {
		stats, err := q.Stats(ctx)
		if err != nil {
			return fmt.Errorf("the queue does not drain: %w", err)
		}
		st := stats[0]
		if st.Parked > 0 { // was in hand when the child was killed, too often
			if _, err := q.Redrive(ctx, consumer); err != nil {
				return err
			}
			continue
		}
		if st.Ready+st.Delayed+st.Leased == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func count(ctx context.Context, s *store.Store, ledger string) (found result, err error) {
	acted := map[string]int{}
	err = s.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT key FROM acted`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				return err
			}
			acted[key]++
		}
		return rows.Err()
	})
	if err != nil {
		return found, err
	}
	for _, n := range acted {
		found.duplicated += n - 1
	}
	return found, eachLine(ledger, 0, func(kind, key string, took time.Duration) { found.add(kind, acted[key], took) })
}

func (r *result) add(kind string, acted int, took time.Duration) {
	switch kind {
	case "a":
		r.acked++
		r.waits = append(r.waits, took)
		if acted == 0 {
			r.lost++
		}
	case "r":
		r.refused++
		if acted > 0 {
			r.duplicated++ // it was refused, and yet stored
		}
	case "u":
		r.unknown++
	}
}

func integrity(ctx context.Context, s *store.Store) error {
	var answer string
	err := s.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&answer)
	})
	if err == nil && answer != "ok" {
		err = errors.New(answer)
	}
	if err != nil {
		return fmt.Errorf("integrity check: %w", err)
	}
	return nil
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func hasLine(path string, from int64, kind string) (found bool, err error) {
	err = eachLine(path, from, func(k, _ string, _ time.Duration) { found = found || k+" " == kind })
	return found, err
}

// eachLine reads whole lines: the last may have been cut by a kill.
func eachLine(path string, from int64, f func(kind, key string, took time.Duration)) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r := bufio.NewReader(bytes.NewReader(b[min(from, int64(len(b))):]))
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var kind, key string
		var took int64
		if n, _ := fmt.Sscan(line, &kind, &key, &took); n == 3 {
			f(kind, key, time.Duration(took))
		}
	}
}
