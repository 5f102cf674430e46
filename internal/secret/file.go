package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// MaxFile is the largest file that is taken for a secret, in bytes.
const MaxFile = 64 << 10

// othersMayRead is the permission that a secret's file must not have.
const othersMayRead fs.FileMode = 0o004

// Read reads the secret in a file, without the line ends after it. It refuses a
// file that everybody may read, that is empty, too large or no file at all; the
// error says what to do, and never what is in the file.
func Read(path string) (Text, error) {
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Text{}, explain(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Text{}, explain(path, err)
	}
	if err := acceptable(path, info); err != nil {
		return Text{}, err
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Text{}, explain(path, err)
	}
	value := strings.TrimRight(string(content), "\r\n")
	switch {
	case len(content) > MaxFile:
		return Text{}, tooLarge(path, int64(len(content)))
	case value == "":
		return Text{}, fmt.Errorf("the secret file %s is empty", path)
	}
	return New(value), nil
}

func acceptable(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return fmt.Errorf("%s is a directory; name the file with the secret", path)
	case !mode.IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case mode.Perm()&othersMayRead != 0:
		return fmt.Errorf("everybody on this machine may read the secret file %s (mode %04o); run: chmod 600 %s", path, mode.Perm(), path)
	case info.Size() > MaxFile:
		return tooLarge(path, info.Size())
	}
	return nil
}

func tooLarge(path string, size int64) error {
	return fmt.Errorf("the secret file %s has %d bytes or more; a secret has at most %d", path, size, MaxFile)
}

func explain(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the secret file %s does not exist: %w", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the secret file %s may not be read by this user: %w", path, fs.ErrPermission)
	}
	return fmt.Errorf("read the secret file %s: %w", path, err)
}
