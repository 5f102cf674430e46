package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/smallfs"
)

// cmdDisk makes disks small, full and slow: disk small DIR MEGABYTES makes a
// file system of its own, disk full DIR fills it and whatever becomes free in
// it, disk free DIR gives that back. disk slow NAME DURATION makes every sync of
// a running process take so much longer, until disk quick NAME.
func cmdDisk(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("disk small DIR MEGABYTES | disk full|free DIR | disk slow NAME DURATION | disk quick NAME")
	switch {
	case len(args) == 3 && args[0] == "small":
		return s.smallDisk(ts.MkAbs(args[1]), args[1], args[2])
	case len(args) == 2 && args[0] == "full" && s.disks[args[1]] != nil:
		return s.fillDisk(args[1], s.disks[args[1]])
	case len(args) == 2 && args[0] == "free" && s.disks[args[1]] != nil:
		s.stopFilling(args[1])
		return s.disks[args[1]].Free()
	case len(args) == 3 && args[0] == "slow":
		return s.slowDisk(args[1], args[2])
	case len(args) == 2 && args[0] == "quick" && s.procs["strace of "+args[1]] != nil:
		_ = s.procs["strace of "+args[1]].End(awaitLimit) // it ends by our signal
		return nil
	}
	return usage
}

func (s *stage) smallDisk(dir, name, megabytes string) error {
	size, err := strconv.Atoi(megabytes)
	if err != nil {
		return usageError(err.Error())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s.disks[name], err = smallfs.Mount(dir, size)
	return err
}

// fillDisk keeps it full: Collie gives up its ballast for what is essential.
func (s *stage) fillDisk(name string, disk *smallfs.FS) error {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var err error
		for err == nil && ctx.Err() == nil {
			err = disk.Fill()
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		done <- err
	}()
	s.stops["filling "+name] = func() { cancel(); <-done }
	return disk.Fill()
}

func (s *stage) stopFilling(name string) {
	if stop := s.stops["filling "+name]; stop != nil {
		stop()
		delete(s.stops, "filling "+name)
	}
}

// slowDisk stands between the process and the disk.
func (s *stage) slowDisk(name, by string) error {
	p, err := s.process(name)
	if err != nil {
		return err
	}
	delay, err := time.ParseDuration(by)
	if err != nil {
		return usageError(err.Error())
	}
	const syncs = "fsync,fdatasync"
	tracer, err := launch.Start(launch.Options{}, "strace", "-f", "-q", "-o", os.DevNull, "-p", strconv.Itoa(p.PID()), "-e", "trace="+syncs,
		"-e", fmt.Sprintf("inject=%s:delay_enter=%d", syncs, delay.Microseconds()))
	if err != nil {
		return err
	}
	s.procs["strace of "+name] = tracer
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	return launch.Await(ctx, "strace to hold "+name, func(context.Context) error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
		if err == nil && !traced(string(status)) {
			err = errors.New("not traced")
		}
		return err
	}, tracer)
}

func traced(status string) bool {
	for line := range strings.Lines(status) {
		if pid, ok := strings.CutPrefix(line, "TracerPid:"); ok {
			return strings.TrimSpace(pid) != "0"
		}
	}
	return false
}
