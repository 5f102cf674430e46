package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

const defaultBallast = 32 << 20

// space watches the room on the disk. A file of ballast is kept back; when the
// disk fills it is removed, so that queue and record can go on, and once that
// is nearly used too nothing new is published while what is there drains.
type space struct {
	dir     string
	ballast int64 // bytes kept back; 0 means none
	reserve int64 // below this nothing is published

	free    atomic.Int64
	present atomic.Bool
	low     atomic.Bool
	freeOf  func(dir string) (int64, error)
}

func newSpace(o Options) *space {
	sp := &space{dir: o.Dir, ballast: o.Ballast, freeOf: freeBytes}
	if o.Ballast == 0 {
		sp.ballast = defaultBallast
	}
	free, err := sp.freeOf(o.Dir)
	if err != nil {
		sp.ballast = 0 // cannot be watched
	}
	sp.ballast = max(0, sp.ballast)
	if info, err := os.Stat(sp.file()); err == nil && info.Size() > 0 {
		sp.present.Store(true)
		free += info.Size()
	}
	sp.ballast = min(sp.ballast, free/8)
	sp.reserve = sp.ballast / 2
	sp.look()
	return sp
}

func (sp *space) file() string { return filepath.Join(sp.dir, "ballast") }

// look measures, and gives the ballast away when it is needed.
func (sp *space) look() {
	free, err := sp.freeOf(sp.dir)
	if err != nil {
		return // the last value stands
	}
	sp.free.Store(free)
	if sp.ballast == 0 {
		return
	}
	switch {
	case free < sp.reserve:
		sp.full()
	case free > 2*sp.ballast:
		sp.low.Store(false)
	}
}

// full gives the ballast away.
func (sp *space) full() {
	sp.low.Store(true)
	if !sp.present.Load() {
		return
	}
	if err := os.Remove(sp.file()); err == nil || os.IsNotExist(err) {
		sp.present.Store(false)
		if free, err := sp.freeOf(sp.dir); err == nil {
			sp.free.Store(free)
		}
	}
}

// critical reports that what is left is for draining the queue.
func (sp *space) critical() bool {
	return sp.ballast > 0 && !sp.present.Load() && sp.low.Load() && sp.free.Load() < sp.reserve
}

// logPages is the length of the log from which it is written back. What is in
// the log may make the file grow by as much: that has to fit into the reserve,
// for a log that cannot be written back cannot start over.
func (sp *space) logPages() int {
	if sp.ballast == 0 {
		return checkpointPages
	}
	return int(min(max(sp.reserve/2/pageSize, 64), checkpointPages))
}

// restock makes the ballast when there is room for it again.
func (sp *space) restock() error {
	if sp.ballast == 0 || sp.present.Load() || sp.free.Load() < 2*sp.ballast {
		return nil
	}
	f, err := os.OpenFile(sp.file(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make ballast: %w", err)
	}
	defer f.Close()
	if err := allocate(f, sp.ballast); err != nil {
		_ = os.Remove(sp.file())
		return fmt.Errorf("make ballast: %w", err)
	}
	sp.present.Store(true)
	sp.low.Store(false)
	return nil
}

// allocate makes blocks, not a hole.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if err != syscall.EOPNOTSUPP {
		return err
	}
	if _, err := io.CopyN(f, zeros{}, size); err != nil {
		return err
	}
	return f.Sync()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}
