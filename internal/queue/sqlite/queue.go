// Package sqlite is the queue on the tables of a store: what is published is in
// the commit that stores it, and consumers are woken by commits.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/rows"
	"github.com/colliehq/collie/internal/store"
)

// Options of the engine.
type Options struct {
	Log *slog.Logger // nil means the store's
}

// Queue is a queue.Queue. It does not own its store.
type Queue struct {
	store *store.Store
	book  *rows.Book
	log   *slog.Logger

	ctx  context.Context //nolint:containedctx // ends with Close, not with a call
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	consumers map[*rows.Sub][]*consumer // in order of arrival
}

var _ queue.Queue = (*Queue)(nil)

// New returns the queue of a store. A store has one.
func New(s *store.Store, o Options) *Queue {
	log := o.Log
	if log == nil {
		log = s.Log()
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Queue{store: s, book: s.Queue(), log: log, ctx: ctx, stop: stop, consumers: map[*rows.Sub][]*consumer{}}
}

// Declare implements queue.Queue.
func (q *Queue) Declare(ctx context.Context, subs ...queue.Subscription) error {
	return q.tx(ctx, func(tx *store.Tx) error { return q.book.Declare(tx, subs...) })
}

// Publish implements queue.Queue.
func (q *Queue) Publish(ctx context.Context, msgs ...queue.Message) error {
	if q.isClosed() {
		return queue.ErrClosed
	}
	return q.store.Publish(ctx, msgs...)
}

// Consume implements queue.Queue.
func (q *Queue) Consume(ctx context.Context, subscription string, opts queue.Options) (<-chan queue.Delivery, error) {
	sub, err := q.sub(subscription)
	if err != nil {
		return nil, err
	}
	c := newConsumer(q, sub, opts)
	if err := q.enter(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(q.ctx, cancel)
	q.wg.Go(func() {
		defer cancel()
		c.run(ctx)
	})
	return c.out, nil
}

// Stats implements queue.Queue.
func (q *Queue) Stats(ctx context.Context) (stats []queue.Stats, err error) {
	err = q.view(ctx, func(tx *sql.Tx) error {
		stats, err = q.book.Stats(ctx, tx)
		return err
	})
	return stats, err
}

// Peek implements queue.Queue.
func (q *Queue) Peek(ctx context.Context, subscription string, f queue.Filter) (entries []queue.Entry, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	err = q.Walk(ctx, subscription, f, func(e queue.Entry) error {
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// What Walk reads at once: a snapshot that is held for long keeps the log from
// starting over.
const (
	walkStep  = 500
	walkBytes = 4 << 20
)

// Walk implements queue.Walker.
func (q *Queue) Walk(ctx context.Context, subscription string, f queue.Filter, each func(queue.Entry) error) error {
	sub, err := q.sub(subscription)
	if err != nil {
		return err
	}
	left := f.Limit
	for page := (rows.Page{More: true}); page.More; {
		step := f
		step.Limit = walkStep
		if f.Limit > 0 {
			step.Limit = min(left, walkStep)
		}
		err := q.view(ctx, func(tx *sql.Tx) (err error) {
			page, err = q.book.Peek(ctx, tx, sub, step, page.Last, walkBytes)
			return err
		})
		for i := 0; err == nil && i < len(page.Entries); i++ {
			err = each(page.Entries[i])
		}
		if left -= len(page.Entries); err != nil || f.Limit > 0 && left <= 0 {
			return err
		}
	}
	return nil
}

// redriveStep bounds one transaction, so that publishers wait only shortly
// while many messages are redriven.
const redriveStep = 500

// Redrive implements queue.Queue.
func (q *Queue) Redrive(ctx context.Context, subscription string, keys ...string) (int, error) {
	sub, err := q.sub(subscription)
	if err != nil {
		return 0, err
	}
	if len(keys) == 0 {
		return q.redrive(ctx, sub, true, "")
	}
	total := 0
	for _, key := range keys {
		n, err := q.redrive(ctx, sub, false, key)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (q *Queue) redrive(ctx context.Context, sub *rows.Sub, all bool, key string) (total int, err error) {
	for {
		var n int
		err := q.tx(ctx, func(tx *store.Tx) error {
			n, err = q.book.Redrive(tx, sub, all, key, redriveStep)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
		if n < redriveStep {
			return total, nil
		}
	}
}

// Close implements queue.Queue. Deliveries that were not settled are given
// back; the store stays open.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.stop()
	q.wg.Wait()
	var errs []error
	for sub, consumers := range q.consumers {
		for _, c := range consumers {
			errs = append(errs, c.giveBack(sub))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close queue: %w", err)
	}
	return nil
}

func (q *Queue) sub(name string) (*rows.Sub, error) {
	sub, ok := q.book.Sub(name)
	if !ok {
		return nil, fmt.Errorf("subscription %s: %w", name, queue.ErrNoSubscription)
	}
	return sub, nil
}

func (q *Queue) tx(ctx context.Context, f func(*store.Tx) error) error {
	if q.isClosed() {
		return queue.ErrClosed
	}
	return q.store.Tx(ctx, f)
}

func (q *Queue) view(ctx context.Context, f func(*sql.Tx) error) error {
	if q.isClosed() {
		return queue.ErrClosed
	}
	return q.store.View(ctx, f)
}

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
