// Command exporters-s3 measures what counting a bucket costs: a million keys on
// a simulated server, which is a process of its own so that its cost is not
// ours. Beside it are the same pages read with minio-go, which decodes them with
// encoding/xml as libraries do, and the probe that a scrape makes. It prints
// lines "figure exporters.NAME VALUE UNIT"; of several rounds the median counts.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

func main() {
	serve := flag.Bool("serve", false, "be the server")
	keys := flag.Int("keys", 1_000_000, "objects in the bucket")
	latency := flag.Duration("latency", 0, "of each page")
	rounds := flag.Int("rounds", 3, "measurements; their median counts")
	probes := flag.Int("probes", 2000, "probes in each measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	do := func() error { return run(ctx, *keys, *rounds, *probes) }
	if *serve {
		do = func() error { return server(ctx, *keys, *latency) }
	}
	err := do()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench exporters-s3:", err)
		os.Exit(1)
	}
}

// server serves until its standard input ends.
func server(ctx context.Context, keys int, latency time.Duration) error {
	f, err := s3test.StartFake(ctx, s3test.FakeOptions{Keys: keys, Prefixes: 16, Latency: latency})
	if err != nil {
		return err
	}
	fmt.Println(f.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, f.Close())
}

// start runs this program again as the server.
func start(ctx context.Context, keys int, latency time.Duration) (at string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	c := exec.CommandContext(ctx, self, "-serve", fmt.Sprint("-keys=", keys), fmt.Sprint("-latency=", latency))
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
	at, err = bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(at), func() error { return errors.Join(in.Close(), c.Wait()) }, err
}

func run(ctx context.Context, keys, rounds, probes int) error {
	at, stop, err := start(ctx, keys, 0)
	if err != nil {
		return err
	}
	defer func() { _ = stop() }()
	slowAt, stopSlow, err := start(ctx, keys, 50*time.Millisecond)
	if err != nil {
		return err
	}
	defer func() { _ = stopSlow() }()
	million := 1e6 / float64(keys)
	for _, m := range []struct {
		name, unit string
		measure    func() (float64, error)
	}{
		{"s3_cpu_seconds_per_million_keys", "seconds", func() (float64, error) { return cpu(million, func() error { return ours(ctx, at, keys) }) }},
		{"s3_peer_minio_go_cpu_seconds_per_million_keys", "seconds", func() (float64, error) {
			return cpu(million, func() error { return theirs(ctx, at, keys) })
		}},
		{"s3_cpu_seconds_per_probe", "seconds", func() (float64, error) {
			return cpu(1/float64(probes), func() error { return scrapes(ctx, at, probes) })
		}},
		{"s3_list_vs_serial", "times", func() (float64, error) {
			begin := time.Now()
			err := ours(ctx, slowAt, keys)
			return float64(keys) / 1000 * 0.050 / time.Since(begin).Seconds(), err
		}},
	} {
		var values []float64
		for range rounds {
			v, err := m.measure()
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			values = append(values, v)
		}
		slices.Sort(values)
		fmt.Printf("figure exporters.%s %.6f %s\n", m.name, values[len(values)/2], m.unit)
	}
	return nil
}

// cpu is the CPU time of this process for f, in seconds, times the factor.
func cpu(factor float64, f func() error) (float64, error) {
	before := used()
	err := f()
	return (used() - before).Seconds() * factor, err
}

func used() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for no reason
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func module(x *s3.S3, at string) (probe.Module, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte("{endpoint: '"+at+"', requests_per_hour: 1000000, list_every: 1d}"), &doc); err != nil {
		return probe.Module{}, err
	}
	var err error
	build := x.Kinds()[0].Build(doc.Content[0], func(_ int, format string, args ...any) { err = fmt.Errorf(format, args...) })
	return probe.Module{Name: "s3", Kind: "s3", Probe: build}, err
}

// ours counts the bucket as a probe without background work does: the same code.
func ours(ctx context.Context, at string, keys int) error {
	m, err := module(s3.New(s3.Options{}), at)
	if err != nil {
		return err
	}
	r := probe.Run(ctx, m, probe.Request{Target: "bucket", Dial: probe.GuardMetadata})
	if !r.Success {
		return errors.New(r.Cause)
	}
	return objects(r, keys)
}

func objects(r probe.Result, want int) error {
	for _, f := range r.Metrics.Families() {
		if f.Name == "probe_s3_objects" && int(f.Samples[0].Value) == want {
			return nil
		}
	}
	return fmt.Errorf("not %d objects were counted", want)
}

// theirs counts it with a library.
func theirs(ctx context.Context, at string, keys int) error {
	c, err := minio.New(strings.TrimPrefix(at, "http://"), &minio.Options{Region: "us-east-1", Transport: &http.Transport{DisableCompression: true}})
	if err != nil {
		return err
	}
	n := 0
	for o := range c.ListObjects(ctx, "bucket", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return o.Err
		}
		n++
	}
	if n != keys {
		return fmt.Errorf("%d objects", n)
	}
	return nil
}

// scrapes probes a bucket that is counted in the background.
func scrapes(ctx context.Context, at string, probes int) error {
	x := s3.New(s3.Options{Log: slog.New(slog.DiscardHandler)})
	x.Keep(nil)
	m, err := module(x, at)
	if err != nil {
		return err
	}
	for range probes {
		if r := probe.Run(ctx, m, probe.Request{Target: "bucket", Dial: probe.GuardMetadata}); !r.Success {
			return errors.New(r.Cause)
		}
	}
	return nil
}
