package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/colliehq/collie/internal/queue"
)

// publishBetweenMarks publishes n messages from each producer, one after the
// other, and every one has to be acknowledged. For whoever traces the syncs of
// this process, one of no file stands before the first and after the last.
func publishBetweenMarks(ctx context.Context, data string, producers, n int) error {
	s, q, err := open(ctx, data)
	if err != nil {
		return err
	}
	mark()
	var wg sync.WaitGroup
	errs := make([]error, producers)
	for p := range producers {
		wg.Go(func() {
			for i := range n {
				err := q.Publish(ctx, queue.Message{Topic: topic, Key: fmt.Sprint(p, "/", i), Body: make([]byte, bodySize)})
				errs[p] = errors.Join(errs[p], err)
			}
		})
	}
	wg.Wait()
	mark()
	return errors.Join(errors.Join(errs...), q.Close(), s.Close())
}

func mark() { _ = syscall.Fsync(-1) } // EBADF: nothing is synced
