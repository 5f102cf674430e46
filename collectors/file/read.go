package file

import (
	"fmt"
	"time"
)

// Read appends up to n unread bytes after the cursor to dst. What stands before
// the cursor is read with them and must be what stood there: otherwise the file
// was truncated, and there is nothing.
func (t *Tracker) Read(l *Log, dst []byte, n int) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, l.TailLen+n)...) // in place, where there is room
	b, err := readAt(l.file, dst[at:], l.Cursor-int64(l.TailLen))
	if err != nil {
		t.lose(l) // the next look opens it again, by its path
		return dst[:at], fmt.Errorf("read %s: %w", l.Path, err)
	}
	if len(b) < l.TailLen || string(b[:l.TailLen]) != string(l.tail) {
		t.truncated(l)
		return dst[:at], nil
	}
	got := copy(dst[at:], b[l.TailLen:])
	l.Size = max(l.Size, l.Cursor+int64(got))
	return dst[:at+got], nil
}

// Mid reports whether the cursor is in the middle of a line.
func (l *Log) Mid() bool { return len(l.tail) > 0 && Mid(l.tail[len(l.tail)-1]) }

// Still reports how long the file did not change.
func (l *Log) Still(now time.Time) time.Duration { return now.Sub(l.grown) }

// Known adds what was read from the start of the file to what makes it known.
// At is the offset of b.
func (l *Log) Known(at int64, b []byte) {
	if have := int64(len(l.Head)); at <= have && have < HeadSize && at+int64(len(b)) > have {
		l.Head = append(l.Head[:have:have], b[have-at:min(int64(len(b)), HeadSize-at)]...)
	}
}

// Advance moves the cursor to the end of b, which starts at the cursor, after
// the sink acknowledged it. Key is what the file had when b was read: a copy
// that we went over to since may not have all of it.
func (t *Tracker) Advance(l *Log, key Key, b []byte) {
	if l.file != nil && l.Key != key {
		if c, err := Look(l.file); err == nil {
			b = b[:min(int64(len(b)), max(0, c.Size-l.Cursor))]
		}
	}
	l.Before, l.PastLen, l.Past = l.Cursor, l.TailLen, l.Tail
	l.Cursor += int64(len(b))
	l.tail = append(l.tail, b[max(0, len(b)-TailSize):]...)
	l.tail = append(l.tail[:0], l.tail[max(0, len(l.tail)-TailSize):]...)
	l.TailLen, l.Tail = len(l.tail), Sum(l.tail)
	l.Size = max(l.Size, l.Cursor)
}
