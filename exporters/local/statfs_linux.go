package local

import (
	"bufio"
	"errors"
	"io"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// statfs asks the kernel about the file system that is mounted at path. It
// opens the path in a way that does not wake an automounter, which plain
// statfs(2) would.
func statfs(path string) answer {
	fd, err := retryInterrupted(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
	if err != nil {
		return answer{errno: errnoOf(err)}
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var st unix.Statfs_t
	if _, err := retryInterrupted(func() (int, error) { return 0, unix.Fstatfs(fd, &st) }); err != nil {
		return answer{errno: errnoOf(err)}
	}
	a := answer{unit: uint64(st.Frsize), blocks: st.Blocks, free: st.Bfree, avail: st.Bavail, files: st.Files, filesFree: st.Ffree}
	if a.unit == 0 {
		a.unit = uint64(st.Bsize)
	}
	return a
}

func retryInterrupted(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func errnoOf(err error) syscall.Errno {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return unix.EIO
}

// serve is the helper: it answers questions until in ends. Each is asked in a
// thread of its own, so that one that hangs does not stop the others.
func serve(in io.Reader, out io.Writer) int {
	// The end of in ends us when our parent has gone; this does it even while
	// a call hangs. Signals to the whole service are for our parent: it drains.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	if _, err := out.Write(answerFrame(helloID, answer{})); err != nil {
		return 1
	}
	for r := bufio.NewReader(in); ; {
		id, path, err := readQuestion(r)
		if err != nil {
			return 0
		}
		go func() { _, _ = out.Write(answerFrame(id, statfs(path))) }() // no reader: we are about to be ended
	}
}
