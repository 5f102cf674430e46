package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// DefaultFile is the file that is read when no other is named.
const DefaultFile = "collie.yml"

// maxFile bounds a configuration file, in bytes: a million lines.
const maxFile = 16 << 20

// Find says which file configures Collie: the one that was named, else
// DefaultFile in the working directory if it exists, else none (empty), which
// means built-in defaults.
func Find(named string) (path string) {
	if named != "" {
		return named
	}
	if _, err := os.Lstat(DefaultFile); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return DefaultFile
}

// read returns the text of a configuration file, or why it has none.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, explain(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a directory; name the file in it")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, explain(err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("has more than %d bytes", maxFile)
	}
	return text, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("may not be read by this user")
	}
	return err
}
