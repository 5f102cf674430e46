package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
)

// syncs is the limit: how often per second this disk takes a block and syncs
// it. The blocks are written before, so that nothing but data moves.
func syncs(dir string, size int, d time.Duration) (perSecond float64, err error) {
	f, err := os.CreateTemp(dir, "baseline")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, size)
	const blocks = 4096
	for range blocks {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	begin, n := time.Now(), 0
	for ; time.Since(begin) < d; n++ {
		if _, err := f.WriteAt(block, int64(n%blocks)*int64(size)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// publish measures how many messages per second are durable, on a new store.
func publish(ctx context.Context, c config, dir string, t trial) (rate, error) {
	dir, err := os.MkdirTemp(dir, "store")
	if err != nil {
		return rate{}, err
	}
	defer os.RemoveAll(dir)
	reg := prometheus.NewRegistry()
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: reg})
	if err != nil {
		return rate{}, err
	}
	q := sqlite.New(s, sqlite.Options{})
	r, err := load(ctx, c, q, t)
	r.perCommit = mean(reg, "collie_store_commit_batch_size")
	r.commit = time.Duration(mean(reg, "collie_store_commit_duration_seconds") * float64(time.Second))
	return r, errors.Join(err, q.Close(), s.Close())
}

// mean of a histogram.
func mean(reg *prometheus.Registry, name string) float64 {
	families, err := reg.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == name {
			h := f.GetMetric()[0].GetHistogram()
			return h.GetSampleSum() / float64(max(h.GetSampleCount(), 1))
		}
	}
	return 0
}

func load(ctx context.Context, c config, q queue.Queue, t trial) (rate, error) {
	if err := q.Declare(ctx, queue.Subscription{Topic: "bench", Name: "bench"}); err != nil {
		return rate{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.window)
	defer cancel()
	var wg sync.WaitGroup
	if t.consume {
		in, err := q.Consume(ctx, "bench", queue.Options{Prefetch: 256})
		if err != nil {
			return rate{}, err
		}
		for range 32 {
			wg.Go(func() { drain(in) })
		}
	}
	begin, cpuBefore := time.Now(), cpuTime()
	waits := make([][]time.Duration, t.producers)
	errs := make([]error, t.producers)
	for i := range t.producers {
		wg.Go(func() { waits[i], errs[i] = produce(ctx, q, i, c.size) })
	}
	wg.Wait()
	took, cpu := time.Since(begin), cpuTime()-cpuBefore
	all := slices.Concat(waits...)
	if len(all) == 0 {
		return rate{}, errors.Join(errors.New("nothing was published"), errors.Join(errs...))
	}
	slices.Sort(all)
	return rate{
		perSecond: float64(len(all)) / took.Seconds(), cpu: cpu.Seconds() / float64(len(all)) * 1000, p99: all[len(all)*99/100],
	}, errors.Join(errs...)
}

func produce(ctx context.Context, q queue.Queue, producer, size int) (waits []time.Duration, err error) {
	body := make([]byte, size)
	for n := 0; ctx.Err() == nil; n++ {
		begin := time.Now()
		err := q.Publish(context.WithoutCancel(ctx), queue.Message{Topic: "bench", Key: fmt.Sprintf("%d/%d", producer, n), Body: body})
		if err != nil {
			return waits, err
		}
		waits = append(waits, time.Since(begin))
	}
	return waits, nil
}

func drain(in <-chan queue.Delivery) {
	for d := range in {
		_ = d.Ack(context.Background()) // at the end of the window it may be lost
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
