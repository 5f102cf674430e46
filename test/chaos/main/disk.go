package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/colliehq/collie/signal"
)

// diskMegabytes is the size of the file system that is filled.
const diskMegabytes = 192

// fullDisk fills the disk, lets the witness fail and recover meanwhile, frees
// the disk, and holds the record against what the witness did.
func (t *trial) fullDisk(ctx context.Context) error {
	if t.disk == nil {
		return nil
	}
	t.faults++
	if err := t.settleWitness(ctx, signal.Up); err != nil {
		return err
	}
	if err := t.disk.Fill(); err != nil {
		return err
	}
	// Collie may give its ballast up for the record: that is filled as well.
	if err := t.watch(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := t.disk.Fill(); err != nil {
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
	if err := t.disk.Free(); err != nil {
		return err
	}
	if err := t.watch(ctx, 10*time.Second); err != nil {
		return err
	}
	return t.holdWitness(ctx, broke, mended)
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
