// Package file finds log files and knows them again: by what is in them, not by
// what they are called. It reads lines and says which bytes they are made of.
package file

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	// HeadSize is how much of a file's beginning makes it known. A shorter file
	// is known by all that was read of it.
	HeadSize = 1024
	// TailSize is how much before the cursor must still be there.
	TailSize = 64
)

// Key is a file for the kernel. Birth, in Unix nanoseconds, tells two files
// apart that were given the same inode one after the other; 0 where the file
// system does not know.
type Key struct {
	Dev, Inode uint64
	Birth      int64
}

// Hash is of a piece of a file; the zero Hash is of nothing.
type Hash [16]byte

// Sum is the hash of b.
func Sum(b []byte) (h Hash) {
	if len(b) > 0 {
		sum := sha256.Sum256(b)
		copy(h[:], sum[:])
	}
	return h
}

// Record is what is remembered of a file. All of it is stored.
type Record struct {
	ID      int64
	Key     Key
	Name    string // the path at which it was found first, which its lines are shipped with
	Path    string // where it was seen last
	Head    []byte // the first bytes, up to HeadSize of what was read
	Cursor  int64  // all before it was acknowledged
	TailLen int
	Tail    Hash  // of the TailLen bytes before the cursor
	Before  int64 // the cursor before the last move of it, with what stood before it
	PastLen int
	Past    Hash
	Size    int64 // when it was seen last
	Seen    int64 // Unix nanoseconds
}

// Unread is how many bytes were seen of the file and not acknowledged.
func (r *Record) Unread() int64 { return max(0, r.Size-r.Cursor) }

// holds reports whether the content is that of the record up to its cursor, and
// returns what stands before the cursor.
func (r *Record) holds(f io.ReaderAt) (tail []byte, ok bool, err error) {
	if ok, err = r.begins(f); !ok {
		return nil, false, err
	}
	tail, err = readAt(f, make([]byte, r.TailLen), r.Cursor-int64(r.TailLen))
	return tail, err == nil && len(tail) == r.TailLen && Sum(tail) == r.Tail, err
}

// begins reports whether the file begins as the record does, as far as it goes.
func (r *Record) begins(f io.ReaderAt) (bool, error) {
	var room [HeadSize]byte
	head, err := readAt(f, room[:len(r.Head)], 0)
	return err == nil && bytes.HasPrefix(r.Head, head) && (len(head) > 0 || len(r.Head) == 0), err
}

// passed reports whether what stood before the cursor's last place is there.
func (r *Record) passed(f io.ReaderAt, size int64) bool {
	if r.PastLen == 0 || r.Before > size {
		return false
	}
	b, err := readAt(f, make([]byte, r.PastLen), r.Before-int64(r.PastLen))
	return err == nil && len(b) == r.PastLen && Sum(b) == r.Past
}

// readAt reads as much of b as the file has. The end of the file is no error.
func readAt(f io.ReaderAt, b []byte, at int64) ([]byte, error) {
	if len(b) == 0 {
		return b, nil
	}
	n, err := f.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// CopyOf reports whether f is a copy of the beginning of original, as far as
// their heads and the end of f tell. Size is f's.
func CopyOf(f, original io.ReaderAt, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	for _, at := range []int64{0, max(0, size-HeadSize)} {
		var a, b [HeadSize]byte
		x, err := readAt(f, a[:min(size, HeadSize)], at)
		if err != nil {
			return false, err
		}
		y, err := readAt(original, b[:len(x)], at)
		if err != nil || len(x) == 0 || !bytes.Equal(x, y) {
			return false, err
		}
	}
	return true, nil
}

// MayCopy reports whether a file with the key at path can be a copy of the
// record's file, as logrotate's copytruncate makes one: younger, and called
// app.log.1, app.log-20260102 or app-20260102.log after app.log.
func (r *Record) MayCopy(k Key, path string) bool {
	from, to := filepath.Base(r.Path), filepath.Base(path)
	stem := strings.TrimSuffix(from, filepath.Ext(from))
	if was := (Key{Dev: ^r.Key.Dev, Inode: r.Key.Inode, Birth: r.Key.Birth}); k == was {
		return false // it is the original, after it was truncated
	}
	return path != r.Path && k.Birth >= r.Key.Birth && len(to) > len(from) && stem != "" && strings.HasPrefix(to, stem)
}

// Rewritten reports whether a file at the record's path can be the same log in
// a new file, as editors and some shared file systems leave it. Little content
// proves nothing: a program that starts again writes the same first line.
func (r *Record) Rewritten(path string) bool {
	return path == r.Path && len(r.Head) == HeadSize && r.Cursor >= HeadSize
}

// Candidate is a file that a glob found.
type Candidate struct {
	Path    string
	Key     Key
	Size    int64
	ModTime int64 // Unix nanoseconds
	Source  int   // which of the sources wants it
}

// Look asks the kernel about an open file.
func Look(f *os.File) (Candidate, error) {
	info, err := f.Stat()
	if err != nil {
		return Candidate{}, fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	k, err := keyOf(f.Name(), info, int(f.Fd()))
	return Candidate{Path: f.Name(), Key: k, Size: info.Size(), ModTime: info.ModTime().UnixNano()}, err
}
