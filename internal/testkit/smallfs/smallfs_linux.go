// Package smallfs mounts a small file system that can be filled and freed, for
// what happens when the disk is full.
package smallfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is a mounted file system, in memory.
type FS struct{ dir string }

// Mount mounts a file system of the size on a directory, which needs root.
// Unmount must be called.
func Mount(dir string, megabytes int) (*FS, error) {
	options := fmt.Sprintf("size=%dm,mode=0700", megabytes)
	if err := unix.Mount("smallfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return nil, fmt.Errorf("mount a small file system on %s: %w", dir, err)
	}
	return &FS{dir}, nil
}

// filler is the file that Fill makes and Free removes.
const filler = ".smallfs-filler"

// Fill takes all the space that is free, to the last page. What becomes free
// later stays free until Fill is called again.
func (f *FS) Fill() (err error) {
	file, err := os.OpenFile(filepath.Join(f.dir, filler), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill %s: %w", f.dir, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for page := make([]byte, 1<<20); len(page) > 0; {
		_, err := file.Write(page)
		switch {
		case errors.Is(err, unix.ENOSPC):
			page = page[:len(page)/2]
		case err != nil:
			return fmt.Errorf("fill %s: %w", f.dir, err)
		}
	}
	return nil
}

// Free gives back what Fill took.
func (f *FS) Free() error {
	if err := os.Remove(filepath.Join(f.dir, filler)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free %s: %w", f.dir, err)
	}
	return nil
}

// Available is how many bytes are free.
func (f *FS) Available() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(f.dir, &st); err != nil {
		return 0, fmt.Errorf("ask %s for its size: %w", f.dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Unmount takes it away. If someone still uses it, it goes when they end.
func (f *FS) Unmount() error {
	if err := unix.Unmount(f.dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", f.dir, err)
	}
	return nil
}
