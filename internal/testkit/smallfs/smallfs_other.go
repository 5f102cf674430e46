//go:build !linux

package smallfs

import "errors"

var errLinux = errors.New("a small file system can be mounted on Linux only")

// FS is a mounted file system.
type FS struct{}

// Mount fails.
func Mount(string, int) (*FS, error) { return nil, errLinux }

// Fill fails.
func (*FS) Fill() error { return errLinux }

// Free fails.
func (*FS) Free() error { return errLinux }

// Available fails.
func (*FS) Available() (uint64, error) { return 0, errLinux }

// Unmount fails.
func (*FS) Unmount() error { return errLinux }
