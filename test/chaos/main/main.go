// Command main of test/chaos breaks the main job on purpose and holds the
// record against what was seen: Collie is killed at random moments, stopped,
// and its disk is filled, while targets fail and recover. Its last line is
// "lost N duplicated N faults N".
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

	"github.com/colliehq/collie/internal/testkit/smallfs"
)

type options struct {
	collie  string
	rounds  int
	seed    uint64
	stop    time.Duration
	full    bool
	targets int
}

func main() {
	var o options
	flag.StringVar(&o.collie, "collie", "", "the binary under test; built if empty")
	flag.IntVar(&o.rounds, "rounds", 100, "how often Collie is killed")
	flag.Uint64Var(&o.seed, "seed", 1, "of all that is random here")
	flag.DurationVar(&o.stop, "stop", time.Minute, "how long Collie is stopped by SIGSTOP")
	flag.BoolVar(&o.full, "disk", os.Getuid() == 0, "fill the disk as well: needs root, for a file system of its own")
	flag.IntVar(&o.targets, "targets", 12, "how many targets fail and recover")
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
	for _, phase := range []func(context.Context) error{t.kills, t.pause, t.fullDisk, t.reckon} {
		if err := phase(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, t.collie.log())
		}
	}
	fmt.Printf("lost %d duplicated %d faults %d\n", t.lost, t.duplicated, t.faults)
	if t.lost+t.duplicated+t.wrong > 0 {
		return fmt.Errorf("the record is not right: %d lost, %d duplicated, %d other mistakes", t.lost, t.duplicated, t.wrong)
	}
	return nil
}

// trial is one run: Collie, its targets, and what was seen of it.
type trial struct {
	options
	random *rand.Rand
	collie *collie
	herd   *herd
	seen   *seen
	disk   *smallfs.FS // nil if it is not to be filled

	absences                        []absence
	lost, duplicated, wrong, faults int
}

// absence is a stretch in which Collie certainly did not look.
type absence struct {
	from, to time.Time
	why      string
}

func newTrial(dir string, o options) (*trial, error) {
	random := rand.New(rand.NewPCG(o.seed, 1))
	h, err := newHerd(o.targets, rand.New(rand.NewPCG(o.seed, 2)))
	if err != nil {
		return nil, err
	}
	storage := filepath.Join(dir, "data")
	if err := os.Mkdir(storage, 0o700); err != nil {
		return nil, err
	}
	c, err := newCollie(o.collie, dir, storage, h.configuration())
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	t := &trial{options: o, random: random, collie: c, herd: h, seen: newSeen(c.api)}
	if o.full {
		if t.disk, err = smallfs.Mount(storage, diskMegabytes); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	return t, nil
}

func (t *trial) close() error {
	err := errors.Join(t.collie.kill(), t.herd.close())
	if t.disk != nil {
		err = errors.Join(err, t.disk.Unmount())
	}
	return err
}

// watch looks at Collie for d and remembers what it acknowledged.
func (t *trial) watch(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		t.seen.look(ctx)
		if err := pauseFor(ctx, min(50*time.Millisecond, time.Until(end))); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) kills(ctx context.Context) error {
	if err := t.collie.start(ctx); err != nil {
		return err
	}
	for round := range t.rounds {
		life := 200*time.Millisecond + time.Duration(t.random.Int64N(int64(3*time.Second)))
		if err := t.watch(ctx, life); err != nil {
			return err
		}
		if err := t.collie.kill(); err != nil {
			return err
		}
		killed := time.Now()
		t.faults++
		if t.random.IntN(3) == 0 {
			if err := pauseFor(ctx, time.Duration(t.random.Int64N(int64(2*time.Second)))); err != nil {
				return err
			}
		}
		restarted := time.Now()
		if err := t.collie.start(ctx); err != nil {
			return err
		}
		t.absences = append(t.absences, absence{killed, restarted, fmt.Sprintf("kill %d", round+1)})
		if (round+1)%10 == 0 {
			fmt.Fprintf(os.Stderr, "killed %d times\n", round+1)
		}
	}
	return t.watch(ctx, 5*time.Second)
}

func (t *trial) pause(ctx context.Context) error {
	if t.stop <= 0 {
		return nil
	}
	t.faults++
	stopped := time.Now()
	if err := t.collie.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := pauseFor(ctx, t.stop); err != nil {
		return err
	}
	continued := time.Now()
	if err := t.collie.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	t.absences = append(t.absences, absence{stopped.Add(time.Second), continued, "stop"})
	return t.watch(ctx, 10*time.Second)
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
