package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/colliehq/collie/signal"
)

// diskBytes is the size of the file system that is filled.
const diskBytes = 192 << 20

// mountSmall puts a small file system of its own on dir.
func mountSmall(dir string) error {
	if err := syscall.Mount("collie-chaos", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		return fmt.Errorf("mount a small file system (root is needed, or leave it out with -disk=false): %w", err)
	}
	return nil
}

// fullDisk fills the disk, lets the witness fail and recover meanwhile, frees
// the disk, and holds the record against what the witness did.
func (t *trial) fullDisk(ctx context.Context) error {
	if !t.disk {
		return nil
	}
	t.faults++
	if err := t.settleWitness(ctx, signal.Up); err != nil {
		return err
	}
	filler := filepath.Join(t.collie.storage, "filler")
	if err := fill(filler); err != nil {
		return err
	}
	// Collie may give its ballast up for the record: that is filled as well.
	if err := t.watch(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := fill(filler + "2"); err != nil {
		return err
	}
	broke := time.Now()
	t.herd.broken[0].Store(true)
	if err := t.watch(ctx, 6*time.Second); err != nil {
		return err
	}
	mended := time.Now()
	t.herd.broken[0].Store(false)
	if err := t.watch(ctx, 4*time.Second); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(filler), os.Remove(filler+"2")); err != nil {
		return err
	}
	if err := t.watch(ctx, 10*time.Second); err != nil {
		return err
	}
	return t.holdWitness(ctx, broke, mended)
}

// fill takes every byte that is left.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(err, f.Close())
		}
		err = nil
	}
	return f.Close()
}

func (t *trial) settleWitness(ctx context.Context, want signal.State) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if state, err := t.state(ctx, t.herd.name(0)); err == nil && state == want {
			return nil
		}
		if err := t.watch(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is not %s after a minute", t.herd.name(0), want)
}

// holdWitness wants one outage of the witness, from broke to mended, to within
// a probe interval and the scheduler's slack.
func (t *trial) holdWitness(ctx context.Context, broke, mended time.Time) error {
	const slack = 2 * time.Second
	intervals, err := t.intervals(ctx, t.herd.name(0))
	if err != nil {
		return err
	}
	var failedFrom, upAgain time.Time
	for _, i := range intervals {
		switch {
		case i.From.Before(broke.Add(-slack)):
		case i.State == signal.Suspect && failedFrom.IsZero():
			failedFrom = i.From
		case i.State == signal.Up && !failedFrom.IsZero() && upAgain.IsZero():
			upAgain = i.From
		}
	}
	if failedFrom.Sub(broke).Abs() > slack || upAgain.Sub(mended).Abs() > slack {
		t.lost++
		fmt.Fprintf(os.Stderr, "full disk: the outage from %s to %s is recorded as %s to %s: %+v\n", broke, mended, failedFrom, upAgain, intervals)
	}
	return nil
}
