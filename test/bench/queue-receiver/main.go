// Command queue-receiver measures the receiver of webhooks end to end, over
// TLS, with signed deliveries that are durable before they are acknowledged,
// against what the queue itself takes from as many producers in the same run.
// The clients share the machine with the receiver. Rounds are interleaved and
// medians are printed, as lines "figure queue.NAME VALUE UNIT".
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"time"
)

type config struct {
	dir     string
	rounds  int
	window  time.Duration
	size    int
	clients int
	only    string
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", ".", "directory on the disk to measure; a temporary directory is made in it")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; the median counts")
	flag.DurationVar(&c.window, "for", 2*time.Second, "length of each measurement")
	flag.IntVar(&c.size, "size", 4096, "bytes of a delivery")
	flag.IntVar(&c.clients, "clients", 64, "connections, each with one delivery at a time")
	flag.StringVar(&c.only, "only", "", "queue or receiver: measure only that")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the whole run to this file")
	flag.Parse()
	if err := profiled(*profile, func() error { return run(context.Background(), c) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench queue-receiver:", err)
		os.Exit(1)
	}
}

func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

// rate is what one measurement found.
type rate struct {
	perSecond float64
	cpu       float64 // seconds per thousand
	p50, p99  time.Duration
}

func run(ctx context.Context, c config) error {
	dir, err := os.MkdirTemp(c.dir, ".bench-receiver-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var queues, receivers, mapped []rate
	var ratios []float64
	for round := range c.rounds {
		var q, r, m rate
		if c.only != "receiver" {
			if q, err = queueRate(ctx, c, dir); err != nil {
				return fmt.Errorf("queue: %w", err)
			}
			queues = append(queues, q)
		}
		if c.only == "queue" {
			continue
		}
		if r, err = receiverRate(ctx, c, dir, false); err != nil {
			return fmt.Errorf("receiver: %w", err)
		}
		receivers = append(receivers, r)
		if c.only == "" {
			if m, err = receiverRate(ctx, c, dir, true); err != nil {
				return fmt.Errorf("receiver and mapper: %w", err)
			}
			mapped = append(mapped, m)
			ratios = append(ratios, r.perSecond/q.perSecond)
		}
		slog.Info("measured", "round", round+1, "queue_per_second", int(q.perSecond), "receiver_per_second", int(r.perSecond),
			"with_mapper_per_second", int(m.perSecond), "p99", r.p99)
	}
	show("queue_64", queues)
	show("receiver", receivers)
	show("receiver_mapped", mapped)
	if len(ratios) > 0 {
		slices.Sort(ratios)
		fmt.Printf("figure queue.receiver_vs_queue %.3f ratio\n", ratios[len(ratios)/2])
	}
	return nil
}

func show(name string, rates []rate) {
	if len(rates) == 0 {
		return
	}
	unit := "acks/s"
	fmt.Printf("figure queue.%s_per_second %.0f %s\n", name, median(rates, func(r rate) float64 { return r.perSecond }), unit)
	fmt.Printf("figure queue.%s_p50_seconds %.4f seconds\n", name, median(rates, func(r rate) float64 { return r.p50.Seconds() }))
	fmt.Printf("figure queue.%s_p99_seconds %.4f seconds\n", name, median(rates, func(r rate) float64 { return r.p99.Seconds() }))
	fmt.Printf("figure queue.%s_cpu_seconds_per_1000 %.4f seconds\n", name, median(rates, func(r rate) float64 { return r.cpu }))
}

func median(rates []rate, of func(rate) float64) float64 {
	values := make([]float64, len(rates))
	for i, r := range rates {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
