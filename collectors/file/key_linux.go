package file

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// keyOf asks statx(2), which alone knows the birth. With fd below 0 it follows
// the path.
func keyOf(path string, _ os.FileInfo, fd int) (Key, error) {
	var st unix.Statx_t
	flags, name := 0, path
	if fd >= 0 {
		flags, name = unix.AT_EMPTY_PATH, ""
	} else {
		fd = unix.AT_FDCWD
	}
	if err := unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return Key{}, fmt.Errorf("look at %s: %w", path, err)
	}
	k := Key{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		k.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return k, nil
}
