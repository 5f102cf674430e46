package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
	"github.com/colliehq/collie/webhook"
)

const secret = "a secret of the bench"

// withQueue opens a new store and its queue for one measurement.
func withQueue(ctx context.Context, dir string, f func(*store.Store, *sqlite.Queue, string) (rate, error)) (rate, error) {
	dir, err := os.MkdirTemp(dir, "store")
	if err != nil {
		return rate{}, err
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		return rate{}, err
	}
	q := sqlite.New(s, sqlite.Options{})
	r, err := f(s, q, dir)
	return r, errors.Join(err, q.Close(), s.Close())
}

// queueRate is what the queue takes from as many producers as there are clients.
func queueRate(ctx context.Context, c config, dir string) (rate, error) {
	return withQueue(ctx, dir, func(_ *store.Store, q *sqlite.Queue, _ string) (rate, error) {
		if err := q.Declare(ctx, queue.Subscription{Topic: "bench", Name: "bench"}); err != nil {
			return rate{}, err
		}
		body := make([]byte, c.size)
		return load(c, func(client, n int) error {
			return q.Publish(ctx, queue.Message{Topic: "bench", Key: fmt.Sprintf("%d/%d", client, n), Body: body})
		})
	})
}

// receiverRate is what the receiver acknowledges.
func receiverRate(ctx context.Context, c config, dir string, mapped bool) (rate, error) {
	return withQueue(ctx, dir, func(s *store.Store, q *sqlite.Queue, dir string) (rate, error) {
		if err := q.Declare(ctx, queue.Subscription{Topic: signal.TopicSignals, Name: "bench", OnFull: queue.Spill}); err != nil {
			return rate{}, err
		}
		conf, pool, err := configure(dir)
		if err != nil {
			return rate{}, err
		}
		w, err := webhook.New(ctx, webhook.Options{
			Config: conf, Store: s, Queue: q, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Source: "webhook/bench",
		})
		if err != nil {
			return rate{}, err
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { report(w.Listener().Run(ctx)) })
		if mapped {
			wg.Go(func() { report(w.Mapper().Run(ctx)) })
		}
		<-w.Listener().Ready()
		clients := make([]*client, c.clients)
		for i := range clients {
			if clients[i], err = dial(ctx, w.Listener().Address(), pool, i, c.size); err != nil {
				return rate{}, err
			}
			defer clients[i].Close()
		}
		return load(c, func(client, n int) error { return clients[client].post(n) })
	})
}

func report(err error) {
	if err != nil {
		slog.Error("task ended", "err", err)
	}
}

// configure writes a certificate and a secret, and names them.
func configure(dir string) (webhook.Config, *roots, error) {
	pool, err := certificate(dir)
	if err != nil {
		return webhook.Config{}, nil, err
	}
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		return webhook.Config{}, nil, err
	}
	conf := webhook.Default()
	conf.ListenAddress, conf.WebConfigFile = "127.0.0.1:0", filepath.Join(dir, "web.yml")
	conf.Hooks = []webhook.Hook{{Name: "bench", Sender: "github", SecretFiles: []string{file}, Window: 5 * time.Minute}}
	return conf, pool, nil
}

// load lets every client work until the time is over.
func load(c config, post func(client, n int) error) (rate, error) {
	var wg sync.WaitGroup
	begin, cpuBefore := time.Now(), cpuTime()
	waits, errs := make([][]time.Duration, c.clients), make([]error, c.clients)
	for i := range c.clients {
		wg.Go(func() {
			for n := 0; time.Since(begin) < c.window; n++ {
				sent := time.Now()
				if errs[i] = post(i, n); errs[i] != nil {
					return
				}
				waits[i] = append(waits[i], time.Since(sent))
			}
		})
	}
	wg.Wait()
	took, cpu := time.Since(begin), cpuTime()-cpuBefore
	all := slices.Concat(waits...)
	if len(all) == 0 {
		return rate{}, errors.Join(errors.New("nothing was taken"), errors.Join(errs...))
	}
	slices.Sort(all)
	return rate{
		perSecond: float64(len(all)) / took.Seconds(), cpu: cpu.Seconds() / float64(len(all)) * 1000, p50: all[len(all)/2], p99: all[len(all)*99/100],
	}, errors.Join(errs...)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
