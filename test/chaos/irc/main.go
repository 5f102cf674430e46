// Command irc of test/chaos breaks the way from an alert to its line on IRC on
// purpose, and holds what was heard in the channel against what was accepted.
// Its last line is "lost N duplicated N faults N".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/internal/testkit/smallfs"
)

type options struct {
	collie string
	rounds int
	alerts int
	seed   uint64
	down   time.Duration
	full   bool
}

func main() {
	var o options
	flag.StringVar(&o.collie, "collie", "", "the binary under test; built if empty")
	flag.IntVar(&o.rounds, "rounds", 20, "how often each fault happens; IRC is down, and the disk full, once")
	flag.IntVar(&o.alerts, "alerts", 1000, "how many alerts fire")
	flag.Uint64Var(&o.seed, "seed", 1, "of all that is random here")
	flag.DurationVar(&o.down, "down", 10*time.Minute, "how long the IRC server is down")
	flag.BoolVar(&o.full, "disk", os.Getuid() == 0, "fill the disk as well: needs root, for a file system of its own")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "collie-chaos-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.collie == "" {
		o.collie = filepath.Join(dir, "collie")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", o.collie, "./cmd/collie").CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	t, err := newTrial(dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.run(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, t.collie.log())
	}
	v := t.reckon(true)
	fmt.Printf("lost %d duplicated %d faults %d\n", v.lost, v.duplicated, t.faults)
	if v.lost+v.wrong > 0 {
		return fmt.Errorf("what was heard is not right: %d lost, %d other mistakes\n%s", v.lost, v.wrong, t.collie.log())
	}
	return nil
}

// trial is one run: Collie, the IRC server, and what was accepted and heard.
type trial struct {
	options
	random   *rand.Rand
	collie   *collie
	listener net.Listener
	server   *ircd.Server
	ledger   *ledger
	disk     *smallfs.FS // nil if it is not to be filled

	disruptions []disruption
	faults      int
}

// disruption is a stretch in which a line may not have been confirmed.
type disruption struct{ from, to time.Time }

func newTrial(dir string, o options) (*trial, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	storage := filepath.Join(dir, "data")
	if err := os.Mkdir(storage, 0o700); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	c, err := newCollie(o.collie, dir, storage, l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	t := &trial{
		options: o, random: rand.New(rand.NewPCG(o.seed, 1)), collie: c, listener: l,
		server: ircd.New(ircd.Options{Caps: ircd.Modern()}), ledger: newLedger(c.api, rand.New(rand.NewPCG(o.seed, 2))),
	}
	t.server.Listen(l)
	if o.full {
		if t.disk, err = smallfs.Mount(storage, diskMegabytes); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

func (t *trial) close() error {
	err := errors.Join(t.collie.kill(), t.listener.Close())
	t.server.Close()
	if t.disk != nil {
		err = errors.Join(err, t.disk.Unmount())
	}
	return err
}

// step is one fault, while alerts fire and are resolved.
type step struct {
	name string
	run  func(context.Context, func() error) error
}

// run breaks one thing after another, and waits after each until all that was
// accepted is heard.
func (t *trial) run(ctx context.Context) error {
	if err := t.collie.start(ctx); err != nil {
		return err
	}
	steps := t.steps()
	for i, s := range steps {
		count := (i+1)*t.alerts/len(steps) - i*t.alerts/len(steps)
		t.ledger.begin(fmt.Sprintf("Fault%03d", i), count)
		t.faults++
		t.ledger.again = 0
		t.server.Set(func(o *ircd.Options) { o.Delay = time.Duration(t.random.Int64N(int64(slowest))) })
		began := time.Now()
		if err := s.run(ctx, func() error { return t.ledger.post(ctx) }); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := t.settle(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %d alerts, %d posts not accepted, %s\n", s.name, count, t.ledger.again, time.Since(began).Round(100*time.Millisecond))
	}
	return nil
}

// steps are the faults of all rounds, each round in an order of its own.
func (t *trial) steps() (steps []step) {
	for range t.rounds {
		round := []step{
			{"kill", t.kill}, {"reset", t.reset}, {"kick", t.kick}, {"nick taken", t.nickTaken}, {"blank lines", t.blankLines}, {"capability refused", t.refused},
		}
		t.random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		steps = append(steps, round...)
	}
	once := []step{{"server down", t.serverDown}}
	if t.disk != nil {
		once = append(once, step{"disk full", t.fullDisk})
	}
	for _, s := range once {
		at := t.random.IntN(len(steps) + 1)
		steps = append(steps[:at], append([]step{s}, steps[at:]...)...)
	}
	return steps
}

// slowest is the longest that the server takes to read a line: until then it is
// not confirmed.
const slowest = 150 * time.Millisecond

// settleLimit is when lines that were accepted count as lost.
const settleLimit = 3 * time.Minute

// settle waits until all that was accepted is heard. What is not heard by then
// is found by reckon.
func (t *trial) settle(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	_ = t.server.Await(limit, "the lines", func() bool { return t.reckon(false).lost == 0 })
	return ctx.Err()
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
