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
	flag.IntVar(&o.rounds, "rounds", 20, "how often each fault happens, on one server after the other; all are down, and the disk full, once")
	flag.IntVar(&o.alerts, "alerts", 1000, "how many alerts fire")
	flag.Uint64Var(&o.seed, "seed", 1, "of all that is random here")
	flag.DurationVar(&o.down, "down", 10*time.Minute, "how long the IRC servers are down")
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
	t := &trial{options: o, random: rand.New(rand.NewPCG(o.seed, 1))}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.prepare(ctx, dir); err != nil {
		return err
	}
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

// trial is one run: Collie, the IRC servers, and what was accepted and heard.
type trial struct {
	options
	random *rand.Rand
	collie *collie
	places []place
	ledger *ledger
	disk   *smallfs.FS // nil if it is not to be filled

	disruptions []disruption
	faults      int
}

// disruption is a stretch in which a line may not have been confirmed.
type disruption struct{ from, to time.Time }

// The servers of the distribution.
const (
	inspircd = "inspircd"
	ngircd   = "ngircd"
)

func (t *trial) prepare(ctx context.Context, dir string) error {
	s, err := newScripted()
	if err != nil {
		return err
	}
	t.places = append(t.places, s)
	for _, program := range []string{inspircd, ngircd} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "%s is not installed: its rounds are left out\n", program)
			continue
		}
		r, err := startReal(ctx, program, dir)
		if err != nil {
			return err
		}
		t.places = append(t.places, r)
	}
	storage := filepath.Join(dir, "data")
	if err := os.Mkdir(storage, 0o700); err != nil {
		return err
	}
	if t.collie, err = newCollie(t.options.collie, dir, storage, t.places); err != nil {
		return err
	}
	t.ledger = newLedger(t.collie.api, rand.New(rand.NewPCG(t.seed, 2)))
	if t.full {
		t.disk, err = smallfs.Mount(storage, diskMegabytes)
	}
	return err
}

func (t *trial) close() (err error) {
	if t.collie != nil {
		err = t.collie.kill()
	}
	for _, p := range t.places {
		err = errors.Join(err, p.close())
	}
	if t.disk != nil {
		err = errors.Join(err, t.disk.Unmount())
	}
	return err
}

// run breaks one thing after another, and waits after each until all that was
// accepted is heard.
func (t *trial) run(ctx context.Context) error {
	if err := t.collie.start(ctx); err != nil {
		return err
	}
	for _, p := range t.places {
		if err := await(ctx, p, "Collie to join on "+p.network(), p.joined); err != nil {
			return err
		}
	}
	steps := t.steps()
	for i, s := range steps {
		count := (i+1)*t.alerts/len(steps) - i*t.alerts/len(steps)
		t.ledger.begin(fmt.Sprintf("Fault%03d", i), count, []road{hook, inside}[t.random.IntN(2)], s.places)
		t.faults++
		if err := t.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (t *trial) step(ctx context.Context, s step) error {
	for _, p := range s.places {
		if scripted, ok := p.(*scripted); ok {
			scripted.Set(func(o *ircd.Options) { o.Delay = time.Duration(t.random.Int64N(int64(slowest))) })
		}
	}
	began := time.Now()
	if err := s.run(ctx, func() error { return t.ledger.run(ctx) }); err != nil {
		return err
	}
	if err := t.settle(ctx, s.places); err != nil {
		return err
	}
	way := map[road]string{hook: "by the hook", inside: "by the Alertmanager inside"}[t.ledger.now[0].road]
	fmt.Fprintf(os.Stderr, "%s: %d alerts %s, %d posts not accepted, %s\n", s.name, len(t.ledger.now), way, t.ledger.again, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// steps are the faults of all rounds, one server after the other, each round in
// an order of its own.
func (t *trial) steps() (steps []step) {
	for i := range t.rounds {
		round := t.round(t.places[i%len(t.places)])
		t.random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		steps = append(steps, round...)
	}
	once := []step{{"servers down", t.places, t.serversDown}}
	if t.disk != nil {
		once = append(once, step{"disk full", t.places, t.fullDisk})
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
func (t *trial) settle(ctx context.Context, places []place) error {
	limit, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for _, p := range places {
		_ = p.await(limit, "the lines", func() bool { return t.reckonAt(p, false).lost == 0 })
	}
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
