package main

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
)

// poison is the key of the message that kills its consumer.
const poison = "poison"

// poisonous is the subscription with a crash limit that makes nobody wait.
func poisonous() queue.Subscription {
	return queue.Subscription{Topic: topic, Name: consumer, CrashLimit: 2}
}

// dieOf consumes until nothing is left, and kills its process on one message.
func dieOf(ctx context.Context, data, key string) error {
	s, q, err := open(ctx, data)
	if err != nil {
		return err
	}
	if err := q.Declare(ctx, poisonous()); err != nil {
		return err
	}
	in, err := q.Consume(ctx, consumer, queue.Options{Prefetch: 4})
	if err != nil {
		return err
	}
	for {
		select {
		case d := <-in:
			if d.Key == key {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			if err := actOn(ctx, s, d); err != nil {
				return err
			}
		case <-time.After(10 * time.Millisecond):
			stats, err := q.Stats(ctx)
			if err != nil {
				return err
			}
			if st := stats[0]; st.Ready+st.Delayed+st.Leased == 0 {
				return nil // without closing: the next one has to cope
			}
		}
	}
}

func actOn(ctx context.Context, s *store.Store, d queue.Delivery) error {
	err := s.Tx(ctx, func(tx *store.Tx) error {
		first, err := tx.Once(consumer, d.Key)
		if err != nil || !first {
			return err
		}
		_, err = tx.Exec(`INSERT INTO acted (key) VALUES (?)`, d.Key)
		return err
	})
	if err != nil {
		return err
	}
	return d.Ack(ctx)
}
