// Command queue measures the embedded queue against the physical limit of the
// same disk in the same run: one writer that overwrites 4 KiB blocks and calls
// fdatasync after each. Rounds are interleaved and the median is printed, as
// lines "figure queue.NAME VALUE UNIT".
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
	dir    string
	rounds int
	window time.Duration
	size   int
	only   string

	waiting int
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", ".", "directory on the disk to measure; a temporary directory is made in it")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; the median counts")
	flag.DurationVar(&c.window, "for", 2*time.Second, "length of each measurement")
	flag.IntVar(&c.size, "size", 4096, "bytes of a message")
	flag.StringVar(&c.only, "only", "", "run only the trial of this name")
	flag.IntVar(&c.waiting, "waiting", 1_000_000, "messages that wait while the program is restarted; 0 leaves that out")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the whole run to this file")
	flag.Parse()
	if err := profiled(*profile, func() error { return run(context.Background(), c) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench queue:", err)
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
	cpu       float64 // seconds per thousand messages
	p99       time.Duration
	baseline  float64 // syncs per second just before and after
	perCommit float64 // transactions that shared a commit
	commit    time.Duration
}

func (r rate) ratio() float64 { return r.perSecond / r.baseline }

// trial is one way to use the queue.
type trial struct {
	name      string
	producers int
	consume   bool
}

func trials(c config) []trial {
	all := []trial{
		{name: "sqlite_1", producers: 1},
		{name: "sqlite_64", producers: 64},
		{name: "sqlite_64_consumed", producers: 64, consume: true},
	}
	if c.only == "" {
		return all
	}
	return slices.DeleteFunc(all, func(t trial) bool { return t.name != c.only })
}

func run(ctx context.Context, c config) error {
	dir, err := os.MkdirTemp(c.dir, ".bench-queue-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	found := map[string][]rate{}
	for round := range c.rounds {
		for _, t := range trials(c) {
			r, err := measure(ctx, c, dir, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			found[t.name] = append(found[t.name], r)
			slog.Info("measured", "round", round+1, "trial", t.name, "per_second", int(r.perSecond),
				"fdatasync_per_second", int(r.baseline), "ratio", fmt.Sprintf("%.2f", r.ratio()), "p99", r.p99,
				"per_commit", int(r.perCommit), "commit", r.commit)
		}
	}
	for _, t := range trials(c) {
		show(t.name, found[t.name])
	}
	if c.waiting > 0 && (c.only == "" || c.only == "million") {
		return million(ctx, c, dir)
	}
	return nil
}

func measure(ctx context.Context, c config, dir string, t trial) (rate, error) {
	before, err := syncs(dir, c.size, c.window/2)
	if err != nil {
		return rate{}, err
	}
	r, err := publish(ctx, c, dir, t)
	if err != nil {
		return rate{}, err
	}
	after, err := syncs(dir, c.size, c.window/2)
	r.baseline = (before + after) / 2
	return r, err
}

func show(name string, rates []rate) {
	fmt.Printf("figure queue.%s_vs_fdatasync %.3f ratio\n", name, median(rates, rate.ratio))
	fmt.Printf("figure queue.%s_per_second %.0f messages/s\n", name, median(rates, func(r rate) float64 { return r.perSecond }))
	fmt.Printf("figure queue.%s_p99_seconds %.4f seconds\n", name, median(rates, func(r rate) float64 { return r.p99.Seconds() }))
	fmt.Printf("figure queue.%s_cpu_seconds_per_1000 %.4f seconds\n", name, median(rates, func(r rate) float64 { return r.cpu }))
}

func median(rates []rate, of func(rate) float64) float64 {
	values := make([]float64, len(rates))
	for i, r := range rates {
		values[i] = of(r)
	}
	return middle(values)
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
