package smallfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/colliehq/collie/internal/testkit/need"
)

func TestFillAndFree(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	f, err := Mount(dir, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(dir, "x")
	write := func() error { return os.WriteFile(file, make([]byte, 100_000), 0o600) }
	if err := write(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what was given back in between is taken, too
		if err := f.Fill(); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Available(); n != 0 || err != nil {
			t.Errorf("%d bytes are free, %v", n, err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := f.Fill(); err != nil {
			t.Fatal(err)
		}
		if err := write(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("write into the full one: %v", err)
		}
		if err := f.Free(); err != nil {
			t.Fatal(err)
		}
		if err := write(); err != nil {
			t.Errorf("write into the freed one: %v", err)
		}
	}
}
