// Command broker breaks a real RabbitMQ and the way to it, one fault at a time,
// while producers commit messages to their local outbox, the relay moves them,
// and a consumer writes down what it got. At the end it prints
// "lost N duplicated N faults N" and fails if anything was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/testkit/faultproxy"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

type config struct {
	short     bool
	only      string
	producers int
	away      time.Duration // how long the broker is stopped or full
	calm      time.Duration // between faults
	deaths    int           // of the consumer of a poisoned message
}

func main() {
	c := config{}
	flag.BoolVar(&c.short, "short", false, "a try: short faults, few deaths")
	flag.StringVar(&c.only, "only", "", "one part: broker, cluster or poison")
	flag.IntVar(&c.producers, "producers", 16, "producers of 4 KB messages")
	flag.Parse()
	c.away, c.calm, c.deaths = 90*time.Second, 5*time.Second, 100
	if c.short {
		c.away, c.calm, c.deaths = 5*time.Second, time.Second, 8
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if url := os.Getenv(victim); url != "" {
		err = beVictim(ctx, url)
	} else {
		err = run(ctx, c)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos broker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	dir, err := os.MkdirTemp("", "chaos-broker-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var total tally
	for _, part := range []struct {
		name string
		run  func(context.Context, config, string) (tally, error)
	}{
		{"broker", oneBroker},
		{"cluster", cluster},
		{"poison", poison},
	} {
		if c.only != "" && c.only != part.name {
			continue
		}
		here, err := os.MkdirTemp(dir, "part")
		if err != nil {
			return err
		}
		got, err := part.run(ctx, c, here)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		slog.Info("done", "part", part.name, "acknowledged", got.sent, "lost", got.lost, "duplicated", got.duplicated, "faults", got.faults)
		total.add(got)
	}
	fmt.Printf("lost %d duplicated %d faults %d\n", total.lost, total.duplicated, total.faults)
	if total.lost > 0 {
		return errors.New("messages were lost")
	}
	return nil
}

// fault breaks something for a while and mends it.
type fault struct {
	name string
	do   func(context.Context) error
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func oneBroker(ctx context.Context, c config, dir string) (t tally, err error) {
	starting, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	b, err := rabbit.Start(starting, rabbit.Options{Dir: dir + "/broker"})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	p, err := faultproxy.Start(b.Address())
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	l, err := startLoad(ctx, dir, "amqp://"+p.Address())
	if err != nil {
		return t, err
	}
	return l.through(ctx, c, faultsOf(c, b, p))
}

func faultsOf(c config, b *rabbit.Broker, p *faultproxy.Proxy) []fault {
	return []fault{
		{"stop_app", func(ctx context.Context) error {
			if err := b.StopApp(ctx); err != nil {
				return err
			}
			sleep(ctx, c.away)
			return b.StartApp(ctx)
		}},
		{"kill -9", func(ctx context.Context) error {
			_ = b.Kill() // that it was killed is no error
			sleep(ctx, c.calm)
			return b.Start(ctx)
		}},
		{"memory alarm", func(ctx context.Context) error {
			if _, err := b.Ctl(ctx, "set_vm_memory_high_watermark", "0.0001"); err != nil {
				return err
			}
			sleep(ctx, c.away)
			_, err := b.Ctl(ctx, "set_vm_memory_high_watermark", "0.4")
			return err
		}},
		{"cut", func(context.Context) error { p.Cut(); return nil }},
		{"reset", func(context.Context) error { p.Reset(); return nil }},
		{"ended inside a confirm", func(context.Context) error { p.Truncate(10); return nil }},
		{"silence", func(ctx context.Context) error {
			p.Hang()
			sleep(ctx, c.away/3)
			p.Restore()
			return nil
		}},
		{"latency", func(ctx context.Context) error {
			p.Latency(300 * time.Millisecond)
			sleep(ctx, c.calm)
			p.Restore()
			return nil
		}},
	}
}

func cluster(ctx context.Context, c config, dir string) (t tally, err error) {
	starting, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	nodes, err := rabbit.StartCluster(starting, rabbit.Options{Dir: dir + "/brokers"}, 3)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, nodes.Stop()) }()
	l, err := startLoad(ctx, dir, nodes.URLs()...)
	if err != nil {
		return t, err
	}
	var faults []fault
	for i, b := range nodes.Nodes {
		faults = append(faults, fault{fmt.Sprintf("kill -9 of node %d", i+1), func(ctx context.Context) error {
			_ = b.Kill() // that it was killed is no error
			sleep(ctx, c.away/3)
			return b.Start(ctx)
		}})
	}
	if c.short {
		faults = faults[:1]
	}
	return l.through(ctx, c, faults)
}
