// Command exporters-beaker measures what the probes of a Beaker lab cost: the
// CPU time of this process, the simulated lab included, for each probe and for
// each line that beakerd sends. It prints lines "figure exporters.NAME VALUE
// UNIT"; each is the median of several measurements.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/beaker"
	"github.com/colliehq/collie/exporters/probe"
	simulated "github.com/colliehq/collie/internal/testkit/beaker"
	"github.com/colliehq/collie/internal/testkit/launch"
)

func main() {
	rounds := flag.Int("rounds", 5, "measurements; their median counts")
	probes := flag.Int("probes", 2000, "probes in each measurement")
	flag.Parse()
	if err := run(*rounds, *probes); err != nil {
		fmt.Fprintln(os.Stderr, "bench exporters-beaker:", err)
		os.Exit(1)
	}
}

func run(rounds, probes int) error {
	x := beaker.New(beaker.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	err := errors.Join(carbon(ctx, x, rounds, probes), systems(ctx, rounds, probes/20))
	cancel()
	return errors.Join(err, <-done)
}

// carbon measures lines taken in over TCP, and probes of what is held.
func carbon(ctx context.Context, x *beaker.Beaker, rounds, probes int) error {
	port, err := launch.FreePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	m, err := module(x, "beaker", fmt.Sprintf("{listen_address: '%s', expiry: 1h}", address))
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	probe.Run(short, m, probe.Request{Target: "lab"}) // opens the address; nothing has come yet
	cancel()
	var lines []string
	for len(lines) < 50_000 {
		lines = append(lines, simulated.Pass("beaker.", len(lines), time.Now().Add(time.Duration(len(lines))*time.Second))...)
	}
	sent := 0.0
	err = figure("beaker_cpu_per_line", rounds, len(lines), func() error {
		if err := simulated.Send(ctx, "tcp", address, lines); err != nil {
			return err
		}
		for sent += float64(len(lines)); taken(ctx, m) < sent; {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return figure("beaker_cpu_per_probe", rounds, probes, func() error { return succeed(ctx, m, "lab", probes) })
}

// taken are the lines that came, whether kept or late.
func taken(ctx context.Context, m probe.Module) (n float64) {
	r := probe.Run(ctx, m, probe.Request{Target: "lab"})
	for _, f := range r.Metrics.Families() {
		if f.Name == "probe_beaker_lines_taken_total" || f.Name == "probe_beaker_lines_late_total" {
			n += f.Samples[0].Value
		}
	}
	return n
}

// systems measures probes that ask for three feeds and 50 systems each time.
func systems(ctx context.Context, rounds, probes int) error {
	var clock atomic.Int64
	x := beaker.New(beaker.Options{Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	clock.Store(time.Now().UnixNano())
	var all []simulated.System
	for i := range 50 {
		all = append(all, simulated.System{FQDN: fmt.Sprintf("s%d.example.org", i), Condition: "Automated"})
	}
	lab, err := simulated.Start("127.0.0.1:0", all, nil)
	if err != nil {
		return err
	}
	m, err := module(x, "beaker_systems", "{systems_of_feed: all, refresh: 1s, requests_per_hour: 1000000}")
	if err == nil {
		err = figure("beaker_systems_50_cpu_per_probe", rounds, probes, func() error {
			for range probes {
				if err := succeed(ctx, m, lab.URL, 1); err != nil {
					return err
				}
				clock.Add(int64(time.Minute)) // so that all of it is asked for again
			}
			return nil
		})
	}
	return errors.Join(err, lab.Stop())
}

func succeed(ctx context.Context, m probe.Module, target string, times int) error {
	for range times {
		if r := probe.Run(ctx, m, probe.Request{Target: target}); !r.Success {
			return fmt.Errorf("%s: %s: %s", m.Name, r.Reason, r.Cause)
		}
	}
	return nil
}

func module(x *beaker.Beaker, kind, options string) (m probe.Module, err error) {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(options), &node); err != nil {
		return m, err
	}
	for _, k := range x.Kinds() {
		if k.Name == kind {
			f := k.Build(node.Content[0], func(_ int, format string, args ...any) { err = fmt.Errorf(format, args...) })
			return probe.Module{Name: kind, Kind: kind, Probe: f}, err
		}
	}
	return m, fmt.Errorf("no kind %s", kind)
}

// figure prints the median CPU time of one of n.
func figure(name string, rounds, n int, work func() error) error {
	var all []float64
	for range rounds {
		before := cpu()
		if err := work(); err != nil {
			return err
		}
		all = append(all, (cpu()-before).Seconds()/float64(n)*1e6)
	}
	slices.Sort(all)
	fmt.Printf("figure exporters.%s %.2f us\n", name, all[len(all)/2])
	return nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
