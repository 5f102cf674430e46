// Schedule measures what looking costs: 5,000 http targets every 15 s through
// the whole exporter role (schedule, probe, verdict, store) against a server on
// loopback, which is a process of its own so that its cost is not ours. It
// prints CPU seconds per 1,000 probes and how late probes began.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/colliehq/collie/exporters"
	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

func main() {
	targets := flag.Int("targets", 5000, "how many targets")
	every := flag.Duration("every", 15*time.Second, "interval of each")
	warm := flag.Duration("warm", 15*time.Second, "time before measuring")
	measure := flag.Duration("for", 30*time.Second, "time of measuring")
	serve := flag.Bool("serve", false, "be the server")
	flag.Parse()
	do := func() error { return run(*targets, *every, *warm, *measure) }
	if *serve {
		do = server
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "schedule:", err)
		os.Exit(1)
	}
}

// server answers 200 to everything until its standard input ends.
func server() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = s.Close()
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startServer runs this program again as the server.
func startServer(ctx context.Context) (address string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	c := exec.CommandContext(ctx, self, "-serve")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(line), func() error { return errors.Join(in.Close(), c.Wait()) }, err
}

func run(targets int, every, warm, measure time.Duration) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	address, stop, err := startServer(context.WithoutCancel(ctx)) // it ends when we close its input
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	dir, err := os.MkdirTemp("", "collie-schedule-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	registry := prometheus.NewRegistry()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: log, Registry: registry})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := declare(ctx, s); err != nil {
		return err
	}
	kinds := host.Kinds()
	e, err := exporters.New(ctx, exporters.Options{
		Config: config(address, targets, every), Modules: module.Defaults(kinds), Kinds: kinds,
		Store: s, Registry: registry, Log: log, Source: "exporter/bench",
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	time.Sleep(warm)
	before, err := read(registry)
	if err != nil {
		return err
	}
	time.Sleep(measure)
	after, err := read(registry)
	if err != nil {
		return err
	}
	cancel()
	report(before, after, float64(targets)*measure.Seconds()/every.Seconds())
	return <-ended
}

// declare makes room for what the exporter says; nobody listens here.
func declare(ctx context.Context, s *store.Store) error {
	return sqlite.New(s, sqlite.Options{}).Declare(ctx,
		queue.Subscription{Topic: signal.TopicSignals, Name: "signals"},
		queue.Subscription{Topic: signal.TopicLeases, Name: "leases"})
}

func config(address string, targets int, every time.Duration) exporters.Config {
	c := exporters.DefaultConfig()
	c.Probe.PerHost = c.Probe.Concurrency // they are all on one host here
	for i := range targets {
		var t exporters.TargetConfig
		t.SetDefaults()
		t.Name, t.Probe, t.Every = fmt.Sprintf("t%05d", i), "http_2xx", every
		t.Target = fmt.Sprintf("http://%s/%d", address, i)
		c.Targets = append(c.Targets, t)
	}
	return c
}

// reading is what is known at one moment.
type reading struct {
	cpu                     float64 // seconds of this process
	probes, failed, skipped float64
	lateness                *dto.Histogram
}

func read(r prometheus.Gatherer) (reading, error) {
	var out reading
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return out, err
	}
	out.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	families, err := r.Gather()
	if err != nil {
		return out, err
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "collie_exporter_probes_total":
				out.probes += m.GetCounter().GetValue()
			case "collie_exporter_probe_failures_total":
				out.failed += m.GetCounter().GetValue()
			case "collie_schedule_skipped_total":
				out.skipped = m.GetCounter().GetValue()
			case "collie_schedule_lateness_seconds":
				out.lateness = m.GetHistogram()
			}
		}
	}
	return out, nil
}

func report(before, after reading, expected float64) {
	probes := after.probes - before.probes
	fmt.Printf("figure exporters.scheduled_http_cpu_seconds %.4f seconds\n", (after.cpu-before.cpu)/probes*1000)
	fmt.Printf("figure exporters.lateness_p99_seconds %.4f seconds\n", quantile(before.lateness, after.lateness, 0.99))
	fmt.Printf("figure exporters.late_over_1s %d probes\n", over(before.lateness, after.lateness, 1))
	fmt.Printf("figure exporters.scheduled_share %.4f ratio\n", probes/expected)
	fmt.Printf("figure exporters.skipped %.0f probes\n", after.skipped-before.skipped)
	fmt.Printf("figure exporters.scheduled_failed %.0f probes\n", after.failed-before.failed)
}

// quantile of what was added to a histogram, within its bucket by proportion,
// as Prometheus computes it.
func quantile(before, after *dto.Histogram, q float64) float64 {
	total := float64(after.GetSampleCount() - before.GetSampleCount())
	below, from := 0.0, 0.0
	for i, b := range after.GetBucket() {
		upTo := float64(b.GetCumulativeCount() - before.GetBucket()[i].GetCumulativeCount())
		if upTo >= q*total && upTo > below {
			return from + (b.GetUpperBound()-from)*(q*total-below)/(upTo-below)
		}
		below, from = upTo, b.GetUpperBound()
	}
	return from
}

// over is how many were later than a bound, which is one of the buckets.
func over(before, after *dto.Histogram, bound float64) uint64 {
	for i, b := range after.GetBucket() {
		if b.GetUpperBound() == bound {
			return after.GetSampleCount() - b.GetCumulativeCount() -
				(before.GetSampleCount() - before.GetBucket()[i].GetCumulativeCount())
		}
	}
	return 0
}
