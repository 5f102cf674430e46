// Package ledger is the recorder: it writes every signal into a journal, makes
// intervals of what exporters say about their targets, and answers what was
// down, since when, and why.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The subscriptions of the ledger.
const (
	Subscription      = "ledger"
	LeaseSubscription = "ledger-leases"
)

// Store is what the ledger needs of internal/store.
type Store interface {
	Migrate(ctx context.Context, room string, fsys fs.FS) error
	Tx(ctx context.Context, f func(*store.Tx) error) error
	View(ctx context.Context, f func(*sql.Tx) error) error
}

// Options of a ledger. All are needed but Now.
type Options struct {
	Config   Config
	Store    Store
	Queue    queue.Queue
	Registry prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time // wall time of what is recorded; nil means time.Now
}

// Ledger is the recorder. It is a task; its queries may be used before and
// after it runs.
type Ledger struct {
	store   Store
	queue   queue.Queue
	log     *slog.Logger
	now     func() time.Time
	config  atomic.Pointer[Config]
	metrics *metrics
	leases  *watch
	ready   chan struct{}
}

// New prepares the tables and declares the subscriptions, so that nothing that
// is published from then on is missed.
func New(o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Ledger{store: o.Store, queue: o.Queue, log: o.Log, now: o.Now, leases: newWatch(), ready: make(chan struct{})}
	l.config.Store(&o.Config)
	ctx := context.Background()
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	open, err := l.countTargets(ctx)
	if err != nil {
		return nil, err
	}
	l.metrics = newMetrics(o.Registry, open)
	return l, nil
}

// Subscriptions are what the ledger declares.
func Subscriptions() []queue.Subscription {
	return []queue.Subscription{
		{Topic: signal.TopicSignals, Name: Subscription},
		// Only the newest leases matter: what cannot be read must not fill the disk.
		{Topic: signal.TopicLeases, Name: LeaseSubscription, Limit: 10_000, OnFull: queue.Spill},
	}
}

func (l *Ledger) prepare(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // a constant, valid path
	}
	if err := l.store.Migrate(ctx, "ledger", sub); err != nil {
		return fmt.Errorf("prepare the record: %w", err)
	}
	err = l.queue.Declare(ctx, Subscriptions()...)
	if err != nil {
		return fmt.Errorf("declare the ledger's subscriptions: %w", err)
	}
	return nil
}

// Reload takes a new configuration; the retention holds from the next pass on.
func (l *Ledger) Reload(c Config) { l.config.Store(&c) }

// Name of the task.
func (l *Ledger) Name() string { return "ledger" }

// Ready is closed once signals are being recorded.
func (l *Ledger) Ready() <-chan struct{} { return l.ready }

// Run records until ctx ends.
func (l *Ledger) Run(ctx context.Context) error {
	known, err := l.knownLeases(ctx)
	if err != nil {
		return err
	}
	l.leases.start(known, time.Now())
	g, ctx := errgroup.WithContext(ctx)
	signals, err := l.queue.Consume(ctx, Subscription, queue.Options{Prefetch: prefetch, Lease: leaseTime, Exclusive: true})
	if err != nil {
		return fmt.Errorf("consume signals: %w", err)
	}
	leases, err := l.queue.Consume(ctx, LeaseSubscription, queue.Options{Prefetch: 4, Lease: leaseTime, Exclusive: true})
	if err != nil {
		return fmt.Errorf("consume leases: %w", err)
	}
	g.Go(func() error { return l.consume(ctx, signals, workers, l.signal) })
	g.Go(func() error { return l.consume(ctx, leases, 1, l.lease) })
	g.Go(func() error { return l.watchLeases(ctx) })
	g.Go(func() error { return l.retain(ctx) })
	close(l.ready)
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
