package host

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// watchedFile is a file whose content is read again when it changes: secrets
// and certificates are replaced while Collie runs.
type watchedFile struct {
	path string

	mu      sync.Mutex
	stamp   fileStamp
	content []byte
}

type fileStamp struct {
	changed time.Time
	size    int64
}

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{info.ModTime(), info.Size()}, nil
}

// maxFile bounds what is read of a configured file.
const maxFile = 64 << 20

func (f *watchedFile) read() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stamp, err := stampOf(f.path)
	if err != nil {
		return nil, err
	}
	if stamp == f.stamp {
		return f.content, nil
	}
	if stamp.size > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", f.path, stamp.size, maxFile)
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	f.stamp, f.content = stamp, content
	return content, nil
}

// secretText is a secret given in the module file, or by the file it stands in.
type secretText struct {
	text string
	file *watchedFile
}

func newSecret(text, path string) secretText {
	if path == "" {
		return secretText{text: text}
	}
	return secretText{file: &watchedFile{path: path}}
}

func (s secretText) read() (string, error) {
	if s.file == nil {
		return s.text, nil
	}
	content, err := s.file.read()
	return strings.TrimSpace(string(content)), err
}
