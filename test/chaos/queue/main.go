// Command queue is the chaos trial of the embedded queue, alone and behind the
// real program's receiver of webhooks. Alone, a child publishes and consumes;
// this process kills it with SIGKILL, fills its disk, or the child's disk fails
// a sync, round after round. What was acknowledged is written down outside, and
// in the end compared with what was acted on. Then the same happens to collie
// while 64 producers post to it, and what was answered 202 is looked for in an
// export. At last they post while its broker is away. The last line is "lost N duplicated N faults N"; the exit code is 1 if
// anything was lost, or acted on or stored twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// childEnv tells a child what to do: produce, or the trial in a mount
// namespace of its own.
const childEnv = "COLLIE_CHAOS_QUEUE"

type config struct {
	collie string // the program; empty: it is built
	dir    string // for the ledger, and the data where nothing can be mounted
	rounds int
	seed   uint64
}

func main() {
	var c config
	flag.StringVar(&c.collie, "collie", "", "the program; empty means to build it")
	flag.StringVar(&c.dir, "dir", "", "directory to work in; empty means a temporary one")
	flag.IntVar(&c.rounds, "rounds", 50, "rounds, each with one fault or more")
	flag.Uint64Var(&c.seed, "seed", 1, "seed of the random times")
	flag.Parse()
	if os.Getenv(childEnv) != "" {
		if err := child(context.Background(), os.Getenv(childEnv)); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	found, err := both(context.Background(), c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos queue:", err)
		os.Exit(1)
	}
	if found.lost+found.duplicated > 0 {
		os.Exit(1)
	}
}

// both makes the trial of the queue and those of the receiver, and prints what
// they found together.
func both(ctx context.Context, c config) (result, error) {
	alone, err := trial(ctx, c)
	if err != nil {
		return result{}, err
	}
	fmt.Printf("figure queue.chaos_publish_p99_seconds %.4f seconds\n", alone.p99().Seconds())
	received, err := receiverTrial(ctx, c)
	if err != nil {
		return result{}, err
	}
	fmt.Printf("figure queue.chaos_receiver_p99_seconds %.4f seconds\n", received.p99().Seconds())
	away, err := brokerTrial(ctx, c)
	if err != nil {
		return result{}, fmt.Errorf("without the broker: %w", err)
	}
	fmt.Printf("figure queue.broker_down_answer_p99_seconds %.4f seconds\n", away.p99().Seconds())
	fmt.Printf("alone: %s\nreceiver: %s\nwithout the broker: %s\n", alone, received, away)
	sum := result{
		lost: alone.lost + received.lost + away.lost, duplicated: alone.duplicated + received.duplicated + away.duplicated,
		faults: alone.faults + received.faults + away.faults,
	}
	fmt.Printf("lost %d duplicated %d faults %d\n", sum.lost, sum.duplicated, sum.faults)
	return sum, nil
}

// result is what the comparison found.
type result struct {
	lost, duplicated, faults int
	acked, refused, unknown  int
	waits                    []time.Duration // for acknowledgements
}

func (r result) String() string {
	return fmt.Sprintf("acknowledged %d refused %d unknown %d lost %d duplicated %d faults %d",
		r.acked, r.refused, r.unknown, r.lost, r.duplicated, r.faults)
}

func (r result) p99() time.Duration {
	if len(r.waits) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.waits))
	return sorted[len(sorted)*99/100]
}

func trial(ctx context.Context, c config) (result, error) {
	dir, err := os.MkdirTemp(c.dir, "chaos-queue-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	t := &rounds{data: filepath.Join(dir, "data"), ledger: filepath.Join(dir, "ledger"), r: rand.New(rand.NewPCG(c.seed, c.seed))}
	if err := os.Mkdir(t.data, 0o700); err != nil {
		return result{}, err
	}
	if t.mounted, err = mount(t.data, "128m"); err != nil {
		return result{}, err
	}
	if t.mounted {
		defer syscall.Unmount(t.data, syscall.MNT_DETACH)
	}
	for n := range c.rounds {
		if err := t.round(ctx, n); err != nil {
			return result{}, fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	found, err := compare(ctx, t.data, t.ledger)
	found.faults = t.faults
	return found, err
}

// mount puts a small file system under dir, which can be filled.
func mount(dir, size string) (bool, error) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			return false, errors.New("the disk-full rounds mount a small file system: run it as root")
		}
		slog.Warn("no disk-full rounds: they mount a small file system, which only root may")
		return false, nil
	}
	return true, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size)
}

// rounds is the trial while it runs.
type rounds struct {
	data, ledger string
	mounted      bool
	r            *rand.Rand
	faults       int
}

// round starts a child, lets one fault happen and kills the child.
func (t *rounds) round(ctx context.Context, n int) error {
	mode := "run"
	if n%7 == 6 {
		mode = "eio" // the child lets syncs fail
		t.faults++
	}
	cmd, err := t.start(ctx, mode)
	if err != nil {
		return err
	}
	if err := t.awaitLedger("a ", time.Minute); err != nil { // it works
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	if mode == "eio" {
		err = t.awaitLedger("u ", time.Minute)
	}
	if t.mounted && n%5 == 4 {
		err = t.fillAndFree()
		t.faults++
	}
	time.Sleep(time.Duration(t.r.IntN(300)) * time.Millisecond)
	t.faults++
	killed := cmd.Process.Kill()
	_ = cmd.Wait() // it was killed, and says so
	return errors.Join(err, killed)
}

func (t *rounds) start(ctx context.Context, mode string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = childEnviron(mode, t.data, t.ledger)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd, cmd.Start()
}

func childEnviron(mode, data, ledger string) []string {
	return append(os.Environ(), childEnv+"="+mode, "COLLIE_CHAOS_DATA="+data, "COLLIE_CHAOS_LEDGER="+ledger)
}

// fillAndFree fills the disk until the child is refused, frees it, and waits
// until the child is acknowledged again.
func (t *rounds) fillAndFree() error {
	filler := filepath.Join(t.data, "filler")
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- fill(f, stop) }()
	refused := t.awaitLedger("r ", time.Minute)
	close(stop)
	err = errors.Join(refused, <-done, os.Remove(filler))
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	if err := t.awaitLedger("a ", 10*time.Second); err != nil {
		return fmt.Errorf("after the disk was freed: %w", err)
	}
	return nil
}

// fill takes what is free, again and again, until stop.
func fill(f *os.File, stop <-chan struct{}) error {
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			time.Sleep(time.Millisecond)
		} else if err != nil {
			return err
		}
	}
}

// awaitLedger waits for a new line of a kind in the ledger.
func (t *rounds) awaitLedger(kind string, limit time.Duration) error {
	return t.awaitFrom(size(t.ledger), kind, limit)
}

func (t *rounds) awaitFrom(from int64, kind string, limit time.Duration) error {
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(2 * time.Millisecond) {
		found, err := hasLine(t.ledger, from, kind)
		if err != nil || found {
			return err
		}
	}
	return fmt.Errorf("nothing of kind %q was written down in %v", kind, limit)
}
