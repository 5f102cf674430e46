// Command irc of test/bench prints how long an alert takes from the webhook of
// an Alertmanager to its line in a channel, and what "collie up" holds while
// its engines are idle.
//
// The rate is the default one, which no server calls a flood; there are several
// networks instead, each told seldom enough that no line has to wait for its
// turn. The servers are those of the tests, with echo-message and
// labeled-response; everything else is the real binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/internal/testkit/launch"
)

const (
	channel = "#ops"
	patient = 2 * time.Minute // when waiting counts as hanging
)

func main() {
	idle := flag.Duration("idle", 30*time.Second, "how long it idles before its memory is read")
	networks := flag.Int("networks", 10, "networks that are told in turn")
	samples := flag.Int("samples", 250, "alerts that are posted")
	every := flag.Duration("every", 300*time.Millisecond, "one alert after this")
	flag.Parse()
	if err := run(context.Background(), *networks, *samples, *every, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "bench irc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, networks, samples int, every, idle time.Duration) error {
	dir, err := os.MkdirTemp("", "collie-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "collie")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/collie")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	rss, err := resting(ctx, binary, filepath.Join(dir, "idle"), idle)
	if err != nil {
		return err
	}
	took, err := telling(ctx, binary, filepath.Join(dir, "told"), networks, samples, every)
	if err != nil {
		return err
	}
	slices.Sort(took)
	fmt.Printf("figure irc.webhook_to_echo_p50_seconds %.4f seconds\n", quantile(took, 0.5).Seconds())
	fmt.Printf("figure irc.webhook_to_echo_p99_seconds %.4f seconds\n", quantile(took, 0.99).Seconds())
	fmt.Printf("figure irc.webhook_to_echo_samples %d lines\n", len(took))
	fmt.Printf("figure irc.idle_rss_bytes %.0f bytes\n", rss)
	return nil
}

// quantile is the smallest value that is not below the part of all, sorted.
func quantile(sorted []time.Duration, part float64) time.Duration {
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

// resting is the memory of Collie, its helpers included, that is connected to a
// network and has nothing to tell.
func resting(ctx context.Context, binary, dir string, idle time.Duration) (rss float64, err error) {
	s, err := open(ctx, binary, dir, 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	time.Sleep(idle)
	return launch.ResidentBytes(s.collie.PID()), nil
}

// telling posts alerts, one network after the other, and returns how long each
// took until its server sent the line to the channel.
func telling(ctx context.Context, binary, dir string, networks, samples int, every time.Duration) (took []time.Duration, err error) {
	s, err := open(ctx, binary, dir, networks)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	posted := make([]time.Time, samples)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range posted {
		<-tick.C
		posted[i] = time.Now()
		if err := s.post(ctx, i, i%networks); err != nil {
			return nil, err
		}
	}
	for i, at := range posted {
		line, err := s.servers[i%networks].heard(ctx, alertName(i))
		if err != nil {
			return nil, err
		}
		took = append(took, line.At.Sub(at))
	}
	return took, nil
}

// server is one IRC network.
type server struct {
	*ircd.Server
	listener net.Listener
}

func listen(ctx context.Context) (server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return server{}, err
	}
	s := server{ircd.New(ircd.Options{Caps: ircd.Modern()}), l}
	s.Listen(l)
	return s, nil
}

func (s server) close() error {
	err := s.listener.Close()
	s.Close()
	return err
}

// heard waits for the line about an alert.
func (s server) heard(ctx context.Context, alert string) (line ircd.Said, err error) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	err = s.Await(ctx, "the line about "+alert, func() bool {
		for _, said := range s.Said(channel) {
			if strings.Contains(said.Text, " "+alert+":") {
				line = said
				return true
			}
		}
		return false
	})
	return line, err
}
