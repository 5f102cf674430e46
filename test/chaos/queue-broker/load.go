package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/outbox"
	"github.com/colliehq/collie/internal/queue/rabbitmq"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
)

const (
	topic  = "signals"
	reader = "reader"
)

// tally is the ledger of both ends.
type tally struct{ sent, lost, duplicated, faults int }

func (t *tally) add(o tally) {
	t.sent, t.lost, t.duplicated, t.faults = t.sent+o.sent, t.lost+o.lost, t.duplicated+o.duplicated, t.faults+o.faults
}

// load is everything between a producer's commit and the consumer's.
type load struct {
	store  *store.Store
	local  *sqlite.Queue
	broker *rabbitmq.Queue

	ctx  context.Context //nolint:containedctx // of the goroutines
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	sent map[string]bool // committed
	got  map[string]int
	// acted counts what was done for the first time, as the store says.
	acted map[string]int
	errs  []error
}

func engine(urls ...string) (*rabbitmq.Queue, error) {
	cfg := rabbitmq.Default()
	cfg.URLs, cfg.ConfirmTimeout = urls, 5*time.Second
	return rabbitmq.New(rabbitmq.Options{Config: cfg, Log: slog.New(slog.DiscardHandler)})
}

func startLoad(ctx context.Context, dir string, urls ...string) (l *load, err error) {
	l = &load{sent: map[string]bool{}, got: map[string]int{}, acted: map[string]int{}}
	l.ctx, l.stop = context.WithCancel(ctx)
	l.store, err = store.Open(ctx, store.Options{Dir: dir + "/store", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		return nil, err
	}
	l.local = sqlite.New(l.store, sqlite.Options{})
	if l.broker, err = engine(urls...); err != nil {
		return nil, err
	}
	if err := l.broker.Declare(ctx, queue.Subscription{Topic: topic, Name: reader, CrashLimit: -1}); err != nil {
		return nil, err
	}
	relay, err := outbox.New(outbox.Options{Local: l.local, Broker: l.broker, Topics: []string{topic}, Log: slog.Default()})
	if err != nil {
		return nil, err
	}
	l.wg.Go(func() { l.note(relay.Run(l.ctx)) })
	<-relay.Ready()
	l.wg.Go(l.consume)
	return l, nil
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// produce commits messages until ctx ends, and writes down each that is
// durable.
func (l *load) produce(ctx context.Context, producer int) {
	body := make([]byte, 4096)
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%d/%d", producer, n)
		err := l.store.Tx(l.ctx, func(tx *store.Tx) error {
			return tx.Enqueue(queue.Message{Topic: topic, Key: key, Body: body})
		})
		if err != nil {
			l.note(err)
			return
		}
		l.mu.Lock()
		l.sent[key] = true
		l.mu.Unlock()
		sleep(ctx, 20*time.Millisecond)
	}
}

// consume acts once on each message, in the transaction that remembers it.
func (l *load) consume() {
	in, err := l.broker.Consume(l.ctx, reader, queue.Options{Prefetch: 64, Lease: 5 * time.Minute})
	if err != nil {
		l.note(err)
		return
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for d := range in {
				l.act(d)
			}
		})
	}
	wg.Wait()
}

func (l *load) act(d queue.Delivery) {
	first := false
	err := l.store.Tx(l.ctx, func(tx *store.Tx) (err error) {
		first, err = tx.Once(reader, d.Key)
		return err
	})
	if err != nil {
		return // it comes again
	}
	l.mu.Lock()
	l.got[d.Key]++
	if first {
		l.acted[d.Key]++
	}
	l.mu.Unlock()
	_ = d.Ack(l.ctx) // if it is lost it comes again, and is known
}

// through runs the faults one after the other under load, and counts at the
// end.
func (l *load) through(ctx context.Context, c config, faults []fault) (t tally, err error) {
	producing, enough := context.WithCancel(ctx)
	var producers sync.WaitGroup
	for i := range c.producers {
		producers.Go(func() { l.produce(producing, i) })
	}
	for _, f := range faults {
		sleep(ctx, c.calm)
		slog.Info("fault", "name", f.name, "waiting", l.behind())
		within, cancel := context.WithTimeout(ctx, 10*time.Minute)
		err = f.do(within)
		cancel()
		if err != nil {
			err = fmt.Errorf("%s: %w", f.name, err)
			break
		}
		t.faults++
		slog.Info("over", "name", f.name, "waiting", l.behind())
	}
	sleep(ctx, c.calm)
	enough()
	producers.Wait()
	l.awaitAll(ctx)
	l.stop()
	l.wg.Wait()
	l.count(&t)
	return t, errors.Join(err, errors.Join(l.errs...), l.broker.Close(), l.local.Close(), l.store.Close())
}

// behind is how many committed messages have not arrived.
func (l *load) behind() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.sent {
		if l.got[key] == 0 {
			n++
		}
	}
	return n
}

// awaitAll waits until everything arrived, or nothing moved for a while.
func (l *load) awaitAll(ctx context.Context) {
	const patience = 2 * time.Minute
	last, since := -1, time.Now()
	for ctx.Err() == nil {
		n := l.behind()
		if n == 0 {
			return
		}
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

func (l *load) count(t *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.sent = len(l.sent)
	for key := range l.sent {
		switch n := l.acted[key]; {
		case n == 0:
			t.lost++
		case n > 1:
			l.errs = append(l.errs, fmt.Errorf("%s was acted upon %d times", key, n))
		}
	}
	for _, n := range l.got {
		t.duplicated += n - 1
	}
}
