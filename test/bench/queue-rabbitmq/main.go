// Command queue-rabbitmq measures how many messages per second a real RabbitMQ
// on this machine confirms, against the physical limit of the same disk in the
// same run: one writer that overwrites blocks of the same size and calls
// fdatasync after each. Rounds are interleaved and the median is printed, as
// lines "figure queue.NAME VALUE UNIT".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/rabbitmq"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

type config struct {
	dir    string
	rounds int
	window time.Duration
	size   int
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", ".", "directory on the disk to measure; a temporary directory is made in it")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; the median counts")
	flag.DurationVar(&c.window, "for", 2*time.Second, "length of each measurement")
	flag.IntVar(&c.size, "size", 4096, "bytes of a message")
	flag.Parse()
	if err := run(context.Background(), c); err != nil {
		fmt.Fprintln(os.Stderr, "bench queue-rabbitmq:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) (err error) {
	dir, err := os.MkdirTemp(c.dir, ".bench-rabbitmq-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = absolute(dir); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	b, err := rabbit.Start(starting, rabbit.Options{Dir: dir + "/broker"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	ratios, rates := map[int][]float64{}, map[int][]float64{}
	for round := range c.rounds {
		for _, producers := range []int{1, 64} {
			rate, limit, err := measure(ctx, c, b, dir, fmt.Sprintf("bench%d-%d", round, producers), producers)
			if err != nil {
				return err
			}
			slog.Info("measured", "round", round+1, "producers", producers, "per_second", int(rate), "fdatasync_per_second", int(limit))
			ratios[producers] = append(ratios[producers], rate/limit)
			rates[producers] = append(rates[producers], rate)
		}
	}
	for _, producers := range []int{1, 64} {
		fmt.Printf("figure queue.rabbitmq_%d_vs_fdatasync %.3f ratio\n", producers, median(ratios[producers]))
		fmt.Printf("figure queue.rabbitmq_%d_per_second %.0f messages/s\n", producers, median(rates[producers]))
	}
	return nil
}

func absolute(dir string) (string, error) {
	if dir[0] == '/' {
		return dir, nil
	}
	wd, err := os.Getwd()
	return wd + "/" + dir, err
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func measure(ctx context.Context, c config, b *rabbit.Broker, dir, prefix string, producers int) (rate, limit float64, err error) {
	before, err := syncs(dir, c.size, c.window/2)
	if err != nil {
		return 0, 0, err
	}
	cfg := rabbitmq.Default()
	cfg.URLs, cfg.Prefix = []string{b.URL()}, prefix
	q, err := rabbitmq.New(rabbitmq.Options{Config: cfg})
	if err != nil {
		return 0, 0, err
	}
	if err := q.Declare(ctx, queue.Subscription{Topic: "bench", Name: "bench"}); err != nil {
		return 0, 0, errors.Join(err, q.Close())
	}
	rate, err = publish(ctx, c, q, producers)
	if err = errors.Join(err, q.Close()); err != nil {
		return 0, 0, err
	}
	after, err := syncs(dir, c.size, c.window/2)
	return rate, (before + after) / 2, err
}

// publish counts what each producer, one message after the other, got confirmed.
func publish(ctx context.Context, c config, q queue.Queue, producers int) (perSecond float64, err error) {
	counts, errs := make([]int, producers), make([]error, producers)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range producers {
		wg.Go(func() {
			body := make([]byte, c.size)
			for time.Since(begin) < c.window && errs[i] == nil {
				errs[i] = q.Publish(ctx, queue.Message{Topic: "bench", Key: fmt.Sprintf("%d/%d", i, counts[i]), Body: body})
				counts[i]++
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begin).Seconds(), errors.Join(errs...)
}

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
