// Package ircbot tells people on IRC what Alertmanager decided that they are
// told, and answers their questions. A line that it accepted is said: it is in
// a spool on the disk until a server is known to have taken it.
package ircbot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/ircbot/link"
	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/signal"
)

// Subscription is the bot's on signal.TopicSignals.
const Subscription = "ircbot"

// Subscriptions are what the bot declares. It spills: people who are not there to
// read must not refuse those who watch.
func Subscriptions() []queue.Subscription {
	return []queue.Subscription{{Topic: signal.TopicSignals, Name: Subscription, OnFull: queue.Spill}}
}

// Options of a bot. All are needed, but those that say otherwise.
type Options struct {
	Config   Config
	Store    spool.Store
	Queue    queue.Queue
	Registry prometheus.Registerer
	Log      *slog.Logger
	Source   string           // "ircbot/HOST", of the signals about what was said
	Now      func() time.Time // nil: time.Now
	// Questions are answered by others; nil: commands say that nobody knows.
	Questions Questions
	// MoreURL is where people read what is too long for IRC, such as Collie's
	// page; optional.
	MoreURL string
	// Dial opens connections; nil: TCP. For tests.
	Dial link.Dial
}

// Bot is the bot on all networks. It is a task.
type Bot struct {
	store     spool.Store
	queue     queue.Queue
	log       *slog.Logger
	source    string
	now       func() time.Time
	questions Questions
	more      string
	dial      link.Dial
	spool     *spool.Spool
	metrics   *metrics
	ready     chan struct{}

	mu       sync.Mutex
	config   Config
	networks map[string]*network
	changed  chan struct{}
}

// New prepares the spool and declares the subscription, so that no alert that
// is published from then on is missed.
func New(ctx context.Context, o Options) (*Bot, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Bot{
		store: o.Store, queue: o.Queue, log: o.Log, source: o.Source, now: o.Now, questions: o.Questions, more: o.MoreURL, dial: o.Dial,
		ready: make(chan struct{}), config: o.Config, networks: map[string]*network{}, changed: make(chan struct{}, 1),
	}
	var err error
	if b.spool, err = spool.Open(ctx, o.Store, o.Now); err != nil {
		return nil, err
	}
	for _, n := range o.Config {
		b.spool.Limit(n.Name, n.Spool.MaxBytes, n.Spool.MaxAge)
	}
	err = o.Queue.Declare(ctx, Subscriptions()...)
	if err != nil {
		return nil, fmt.Errorf("declare the subscription of the IRC bot: %w", err)
	}
	b.metrics = newMetrics(o.Registry, o.Now)
	for _, n := range o.Config {
		b.metrics.begin(n.Name)
	}
	return b, nil
}

// Name of the task.
func (b *Bot) Name() string { return "ircbot" }

// Ready is closed once alerts are being accepted. Whether a network is connected
// is told by metrics: nothing waits for IRC.
func (b *Bot) Ready() <-chan struct{} { return b.ready }

// Run accepts and says lines until ctx ends.
func (b *Bot) Run(ctx context.Context) error {
	in, err := b.queue.Consume(ctx, Subscription, queue.Options{Prefetch: prefetch, Lease: leaseTime, Exclusive: true})
	if err != nil {
		return fmt.Errorf("consume alerts: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.accept(ctx, in) })
	g.Go(func() error { return b.keepHouse(ctx) })
	g.Go(func() error { return b.manage(ctx) })
	close(b.ready)
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Reload takes a new configuration. Networks that stay keep their connection,
// unless how they are reached has changed.
func (b *Bot) Reload(c Config) {
	b.mu.Lock()
	b.config = c
	b.mu.Unlock()
	for _, n := range c {
		b.spool.Limit(n.Name, n.Spool.MaxBytes, n.Spool.MaxAge)
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *Bot) configured() Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.config
}

// manage runs one network each, as configured, and brings what runs in line with
// a new configuration.
func (b *Bot) manage(ctx context.Context) error {
	running := map[string]*network{}
	for {
		want := map[string]Network{}
		for _, n := range b.configured() {
			want[n.Name] = n
		}
		for name, n := range running {
			conf, stays := want[name]
			if stays && n.sameServers(conf) {
				n.update(conf)
				continue
			}
			n.stop()
			delete(running, name)
			if !stays {
				b.metrics.end(name)
			}
		}
		b.dropStrangers(ctx, want)
		for name, conf := range want {
			if running[name] == nil {
				b.metrics.begin(name)
				running[name] = b.startNetwork(ctx, conf)
			}
		}
		b.mu.Lock()
		b.networks = map[string]*network{}
		maps.Copy(b.networks, running)
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			for _, n := range running {
				n.stop()
			}
			return nil
		case <-b.changed:
		}
	}
}

// dropStrangers gives up lines for channels that are no longer configured:
// nobody would ever say them.
func (b *Bot) dropStrangers(ctx context.Context, want map[string]Network) {
	for _, name := range b.spool.Networks() {
		conf, known := want[name]
		lost := b.spool.Find(name, func(l *spool.Line) bool {
			_, has := conf.Channels[l.Channel]
			return !known || !has && l.Channel != heartbeatPlace(conf)
		})
		if len(lost) == 0 {
			continue
		}
		lost, err := b.spool.Drop(ctx, lost)
		if err != nil {
			b.log.Warn("lines for channels that are not configured stay in the spool", "network", name, "err", err)
			continue
		}
		b.dropped(name, lost, "their channel is not configured")
	}
}

// dropped counts and tells what was given up.
func (b *Bot) dropped(network string, lines []spool.Line, why string) {
	if len(lines) == 0 {
		return
	}
	b.metrics.dropped.WithLabelValues(network).Add(float64(len(lines)))
	b.log.Error("lines for IRC dropped", "network", network, "lines", len(lines), "why", why)
}

// keepHouse deletes what is done and gives up what is too old.
func (b *Bot) keepHouse(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		if err := b.spool.Purge(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("old lines for IRC not deleted", "err", err)
		}
		for _, n := range b.configured() {
			gone, err := b.spool.Expire(ctx, n.Name)
			if err != nil && ctx.Err() == nil {
				b.log.Warn("lines that are too old stay in the spool", "network", n.Name, "err", err)
				continue
			}
			b.dropped(n.Name, gone, "they waited too long")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
