// Command exporters-rabbitmq measures what a look at a real RabbitMQ with many
// queues costs, Collie and the broker: over the metrics of the node with all
// queues shown and with the default budget, and over the list of the management
// API. It prints lines "figure exporters.NAME VALUE UNIT".
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/rabbitmq"
	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/rabbit"
	"github.com/colliehq/collie/internal/testkit/rabbitload"
)

func main() {
	queues := flag.Int("queues", 5000, "queues of the broker")
	rounds := flag.Int("rounds", 21, "probes of each kind; their median counts")
	flag.Parse()
	if err := run(*queues, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench exporters-rabbitmq:", err)
		os.Exit(1)
	}
}

// bench is a broker with its queues.
type bench struct {
	broker *rabbit.Broker
	queues int
	rounds int
}

func run(queues, rounds int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "collie-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	broker, err := rabbit.Start(ctx, rabbit.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("%w (on Debian: apt-get install rabbitmq-server)", err)
	}
	defer func() { _ = broker.Stop() }()
	load, err := rabbitload.Fill(ctx, broker.URL(), "load.", queues)
	if err != nil {
		return err
	}
	defer func() { _ = load.Close() }()
	b := &bench{broker, queues, rounds}
	return b.all(ctx)
}

func (b *bench) all(ctx context.Context) error {
	login := fmt.Sprintf("username: %s, password: %s, management: [%q]", rabbit.User, rabbit.Password, b.broker.ManagementURL())
	full, err := b.measure(ctx, "metrics", fmt.Sprintf("max_queues: %d", b.queues))
	if err != nil {
		return err
	}
	for _, k := range []struct{ name, options string }{
		{"metrics_default_budget", ""},
		{"metrics_and_checks", login},
		{"listed", "source: management, " + login},
	} {
		if _, err := b.measure(ctx, k.name, k.options); err != nil {
			return err
		}
	}
	return b.compare(ctx, full)
}

// measure makes probes, each with its exposition written, and prints medians.
func (b *bench) measure(ctx context.Context, name, options string) (cpu float64, err error) {
	m, err := parse(options)
	if err != nil {
		return 0, err
	}
	target := strings.TrimPrefix(b.broker.PrometheusURL(), "http://")
	look := func() error {
		r := probe.Run(ctx, m, probe.Request{Target: target})
		text := probe.AppendText(nil, r.Metrics.Families())
		if want := fmt.Sprintf("\nprobe_rabbitmq_queues %d\n", b.queues); !r.Success || !bytes.Contains(text, []byte(want)) {
			return fmt.Errorf("%s: %s; not all of %d queues are told of", r.Reason, r.Cause, b.queues)
		}
		return nil
	}
	if err := launch.Await(ctx, "all queues", func(context.Context) error { return look() }); err != nil {
		return 0, err
	}
	var own, theirs, wall []float64
	for range b.rounds {
		began, ours := time.Now(), selfCPU()
		broker, err := processCPU(b.broker.PID())
		if err == nil {
			err = look()
		}
		if err != nil {
			return 0, err
		}
		after, err := processCPU(b.broker.PID())
		if err != nil {
			return 0, err
		}
		own, theirs, wall = append(own, selfCPU()-ours), append(theirs, after-broker), append(wall, time.Since(began).Seconds())
	}
	prefix := fmt.Sprintf("figure exporters.rabbitmq_%d_%s", b.queues, name)
	fmt.Printf("%s_cpu_seconds %.4f s\n%s_broker_cpu_seconds %.4f s\n%s_seconds %.4f s\n", prefix, median(own), prefix, median(theirs), prefix, median(wall))
	return median(own), nil
}

func parse(options string) (m probe.Module, err error) {
	text := "modules: {m: {prober: rabbitmq, rabbitmq: {" + options + "}}}"
	modules := module.Parse([]byte(text), rabbitmq.New(rabbitmq.Options{}).Kinds(), func(_ int, path, message string) {
		err = fmt.Errorf("%s: %s", path, message)
	})
	if err != nil {
		return m, err
	}
	return modules[0], nil
}

// compare sets a whole probe, from the request to the exposition, against what
// only parsing the broker's answer costs with the Prometheus project's parser.
func (b *bench) compare(ctx context.Context, full float64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		b.broker.PrometheusURL()+"/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	var costs []float64
	for range b.rounds {
		before := selfCPU()
		parser := expfmt.NewTextParser(model.LegacyValidation)
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
			return err
		}
		costs = append(costs, selfCPU()-before)
	}
	fmt.Printf("figure exporters.rabbitmq_%d_probe_cpu_vs_expfmt_parse %.3f ratio\n", b.queues, full/median(costs))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// selfCPU is our CPU time so far, in seconds.
func selfCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// processCPU is that of another process. The kernel counts it per thread.
func processCPU(pid int) (sum float64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, errors.Join(err, errors.New("no CPU time in /proc"))
	}
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has just ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return 0, err
		}
		sum += ns / 1e9
	}
	return sum, nil
}
