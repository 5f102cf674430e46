package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/colliehq/collie/internal/terminal"
)

// Space on the disk of the data directory.
func Space(dir string) Check {
	return Check{"space", func(context.Context) []Finding {
		place, err := existing(dir)
		if err != nil {
			return nil // the disk was told already
		}
		var st unix.Statfs_t
		if err := unix.Statfs(place, &st); err != nil {
			return []Finding{bad("look at the mount", "the file system of %s cannot be asked: %v", place, err)}
		}
		free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
		f := spaceOf(place, free, total)
		f.Values = map[string]float64{"free_bytes": float64(free), "total_bytes": float64(total)}
		found := []Finding{f}
		if st.Files > 0 && st.Ffree*20 < st.Files {
			found = append(found, warn("delete small files, or make a file system with more inodes", "%d of %d inodes are free", st.Ffree, st.Files))
		}
		return found
	}}
}

// Room that the queue and the record need: below the first, Collie starts giving
// its ballast away.
const (
	leastRoom   = 128 << 20
	comfortable = 1 << 30
)

func spaceOf(dir string, free, total int64) Finding {
	text := fmt.Sprintf("%s of %s are free in %s", terminal.Bytes(free), terminal.Bytes(total), dir)
	switch {
	case free < leastRoom:
		return bad("make room, or give --storage.path another disk: messages are refused soon", "%s", text)
	case free < comfortable || free*20 < total:
		return warn("make room: a long outage of the broker or of IRC needs it", "%s", text)
	}
	return ok("%s", text)
}

// Permissions of the data directory, its file and the configuration.
func Permissions(dir, configFile string) Check {
	return Check{"permissions", func(context.Context) []Finding {
		var all []Finding
		if f, there := readable(dir, "chmod 700 "); there {
			all = append(all, f...)
			all = append(all, writable(dir)...)
		}
		for _, name := range []string{"collie.db", "collie.db-wal"} {
			f, _ := readable(filepath.Join(dir, name), "chmod 600 ")
			all = append(all, f...)
		}
		all = append(all, configuration(configFile)...)
		if len(all) == 0 {
			all = append(all, ok("nobody else can read the data or change the configuration"))
		}
		return all
	}}
}

// readable tells if others can read, and whether the file is there.
func readable(path, remedy string) (found []Finding, there bool) {
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return nil, false
	}
	if err != nil {
		return []Finding{bad("run it as the user that runs Collie", "%v", err)}, false
	}
	if info.Mode().Perm()&0o007 != 0 {
		found = append(found, warn("run: "+remedy+path, "everybody on this machine can read %s (mode %04o): it holds what senders sent", path, info.Mode().Perm()))
	}
	if st, isUnix := info.Sys().(*syscall.Stat_t); isUnix && int(st.Uid) != os.Getuid() && os.Getuid() != 0 {
		found = append(found, warn("run collie doctor as the user that runs Collie", "%s belongs to user %d, and this is user %d", path, st.Uid, os.Getuid()))
	}
	return found, true
}

func writable(dir string) []Finding {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return []Finding{bad("give the directory to the user that runs Collie", "%s cannot be written: %v", dir, err)}
	}
	return nil
}

// configuration that others can write makes them masters of Collie.
func configuration(file string) []Finding {
	info, err := os.Stat(file)
	if err != nil || file == "" {
		return nil // its own check tells
	}
	if info.Mode().Perm()&0o002 != 0 {
		return []Finding{bad("run: chmod o-w "+file, "everybody on this machine can change %s (mode %04o)", file, info.Mode().Perm())}
	}
	return nil
}
