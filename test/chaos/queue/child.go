package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/store/disk"
	"github.com/colliehq/collie/retry"
)

const (
	topic     = "chaos"
	consumer  = "actor"
	producers = 64
	bodySize  = 4096
	backlog   = 5000 // messages that producers let wait
	patience  = 200 * time.Millisecond
)

// child publishes and consumes until it is killed.
func child(ctx context.Context, mode string) error {
	data := os.Getenv("COLLIE_CHAOS_DATA")
	switch mode {
	case "sync_1":
		return publishBetweenMarks(ctx, data, 1, 200)
	case "sync_64":
		return publishBetweenMarks(ctx, data, 64, 100)
	case "poison":
		return dieOf(ctx, data, poison)
	case "mended":
		return dieOf(ctx, data, "")
	}
	ledger, err := os.OpenFile(os.Getenv("COLLIE_CHAOS_LEDGER"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, q, err := open(ctx, data)
	if err != nil {
		return err
	}
	if mode == "eio" {
		failSyncs(data)
	}
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	run := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				failed.Store(&err)
			}
		})
	}
	run(func() error { return s.Guard().Run(ctx) })
	run(func() error { return act(ctx, s, q) })
	for n := range producers {
		run(func() error { return produce(ctx, q, n, ledger, s.Queue().Waiting) })
	}
	for failed.Load() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	return *failed.Load()
}

func open(ctx context.Context, data string) (*store.Store, *sqlite.Queue, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	s, err := store.Open(ctx, store.Options{Dir: data, Log: log, Registry: prometheus.NewRegistry()})
	if err != nil {
		return nil, nil, err
	}
	err = s.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TABLE IF NOT EXISTS acted (key TEXT)`)
		return err
	})
	q := sqlite.New(s, sqlite.Options{})
	return s, q, errors.Join(err, q.Declare(ctx, queue.Subscription{Topic: topic, Name: consumer}))
}

// failSyncs lets one sync in about a hundred fail.
func failSyncs(data string) {
	disk.Inject(data, func(op, _ string) error {
		if op == "sync" && rand.IntN(100) == 0 {
			return syscall.EIO
		}
		return nil
	})
}

// produce writes every answer down: a line is one write to a file outside,
// which the kernel keeps when the child is killed.
func produce(ctx context.Context, q queue.Queue, producer int, ledger *os.File, waiting func(string) int) error {
	body := make([]byte, bodySize)
	for n := 0; ; n++ {
		// A consumer that is held up, by a full disk or by what comes again, must
		// not end the trial of the producers.
		for begin := time.Now(); waiting(consumer) > backlog && time.Since(begin) < patience; {
			time.Sleep(time.Millisecond)
		}
		key := fmt.Sprintf("%d/%d/%d", os.Getpid(), producer, n)
		begin := time.Now()
		err := q.Publish(ctx, queue.Message{Topic: topic, Key: key, Body: body})
		kind := "a"
		switch {
		case errors.Is(err, queue.ErrFull):
			kind = "r"
		case errors.Is(err, queue.ErrUnknown):
			kind = "u"
		case err != nil:
			return err
		}
		if _, err := fmt.Fprintf(ledger, "%s %s %d\n", kind, key, time.Since(begin).Nanoseconds()); err != nil {
			return err
		}
		if kind != "a" {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// act acts once on each message, in the transaction that remembers it.
func act(ctx context.Context, s *store.Store, q queue.Queue) error {
	once := func(ctx context.Context, d queue.Delivery) error {
		return s.Tx(ctx, func(tx *store.Tx) error {
			first, err := tx.Once(consumer, d.Key)
			if err != nil || !first {
				return err
			}
			_, err = tx.Exec(`INSERT INTO acted (key) VALUES (?)`, d.Key)
			return err
		})
	}
	policy := retry.Policy{Base: 10 * time.Millisecond, Max: time.Second}
	return queue.Handle(ctx, q, consumer, queue.Options{Prefetch: 64, Exclusive: true}, policy, once, nil)
}
