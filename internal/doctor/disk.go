package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	block     = 4096
	blocks    = 256
	mostSyncs = 2000
	diskTime  = 3 * time.Second // of measuring; one sync may take longer
	// Ratios of the queue's own rate to that of plain syncs, as make bench
	// ROOM=queue finds them: one sender, and 64 who share a commit.
	oneSender  = 0.5
	manySender = 3.0
)

// Limits of a sync. A disk that keeps its promise has to move something, or has
// a cache that survives a power cut: even those answer no faster than this.
const (
	tooFast = 15 * time.Microsecond
	slow    = 20 * time.Millisecond
	tooSlow = 500 * time.Millisecond
)

// Disk measures what fdatasync does on the disk of a directory.
func Disk(dir string) Check {
	return Check{"disk", func(ctx context.Context) []Finding {
		place, err := existing(dir)
		if err != nil {
			return []Finding{bad("make the directory, or give --storage.path another", "%v", err)}
		}
		return append(fileSystem(place), measured(ctx, place)...)
	}}
}

// existing is the directory, or the nearest one above it if it is not made yet.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	for err == nil {
		info, statErr := os.Stat(dir)
		switch {
		case statErr == nil && info.IsDir():
			return dir, nil
		case statErr == nil:
			return "", fmt.Errorf("%s is no directory", dir)
		case !errors.Is(statErr, os.ErrNotExist) || dir == "/":
			return "", statErr
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// fileSystem judges by its kind, as statfs(2) numbers them.
func fileSystem(dir string) []Finding {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return []Finding{bad("look at the mount", "the file system of %s cannot be asked: %v", dir, err)}
	}
	switch st.Type {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return []Finding{bad("put --storage.path on a disk", "%s is in memory: a restart of the machine loses everything", dir)}
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.V9FS_MAGIC:
		return []Finding{bad("put --storage.path on a local disk", "%s is on a network file system, where SQLite's log does not work", dir)}
	case unix.OVERLAYFS_SUPER_MAGIC:
		return []Finding{warn("mount a volume at --storage.path", "%s is inside a container's own layer: it goes away with the container", dir)}
	}
	return nil
}

// measured syncs a throw-away file again and again: written before, so that
// nothing but data moves, as in the log of the queue.
func measured(ctx context.Context, dir string) []Finding {
	times, err := syncs(ctx, dir)
	if err != nil || len(times) == 0 {
		return []Finding{bad("see that the directory can be written and the disk has room", "syncing a file in %s failed: %v", dir, err)}
	}
	slices.Sort(times)
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	rate := float64(len(times)) / sum.Seconds()
	at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))] }
	f := judge(at(0.5), at(0.99), fmt.Sprintf("%.0f syncs/s, each %v (median), %v (99th of 100), %v (slowest)",
		rate, round(at(0.5)), round(at(0.99)), round(at(1))))
	f.Values = map[string]float64{
		"syncs_per_second": rate, "p50_seconds": at(0.5).Seconds(), "p90_seconds": at(0.9).Seconds(),
		"p99_seconds": at(0.99).Seconds(), "max_seconds": at(1).Seconds(), "syncs": float64(len(times)),
		"safe_messages_per_second_1": rate * oneSender, "safe_messages_per_second_64": rate * manySender,
	}
	safe := ok("safe messages: about %.0f/s from one sender, %.0f/s from 64 at once", rate*oneSender, rate*manySender)
	return append([]Finding{f}, append(cache(dir), safe)...)
}

func judge(median, late time.Duration, text string) Finding {
	switch {
	case median < tooFast:
		return bad("look for a mount option or a hypervisor that ignores flushes (nobarrier, cache=unsafe, libeatmydata); "+
			"what was acknowledged may be lost with the power", "a sync takes no time: %s", text)
	case late > tooSlow:
		return bad("move --storage.path to another disk, or take away what competes for this one", "very slow: %s", text)
	case late > slow:
		return warn("move --storage.path to a faster disk if many webhooks or targets are expected", "slow: %s", text)
	}
	return ok("%s", text)
}

func round(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func syncs(ctx context.Context, dir string) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".collie-doctor-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, block*blocks)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	content := make([]byte, block)
	for begin := time.Now(); len(times) < mostSyncs && time.Since(begin) < diskTime && ctx.Err() == nil; {
		content[0]++
		start := time.Now()
		if _, err := f.WriteAt(content, int64(len(times)%blocks)*block); err != nil {
			return times, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return times, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// cache tells of a kernel that was told that the disk has no cache to flush:
// then a sync ends when the disk has the data, wherever that is.
func cache(dir string) []Finding {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil
	}
	device := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	for _, path := range []string{device + "/queue/write_cache", device + "/../queue/write_cache"} {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if strings.TrimSpace(string(raw)) == "write through" {
			return []Finding{ok("the disk says that it has no volatile cache: a sync sends no flush, which is safe if that is true")}
		}
		return nil
	}
	return nil
}
