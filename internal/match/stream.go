package match

import (
	"bytes"
	"errors"
	"slices"
)

// Sizes of a stream's buffer.
const (
	// MaxLine is the longest line that is matched in one piece, in bytes. A
	// longer one is matched in pieces that overlap by Overlap bytes.
	MaxLine = 256 << 10
	// Overlap is the longest match, in bytes, that is certainly found in a line
	// longer than MaxLine.
	Overlap = 16 << 10
)

// Found is a pattern that matches a line of a stream.
type Found struct {
	Pattern int    // index of the pattern
	Line    int    // number of the line, counted from 1
	Offset  int64  // where the line begins in the stream, in bytes
	Text    []byte // the line without escape sequences, markers and its end; of a longer line, the piece; valid until the function that gets it returns
	Section string // the innermost GitLab section that the line is in, or ""
}

// Stream matches what is written to it, however it is cut into writes. It needs
// less than 1 MB whatever is written. Escape sequences for terminals and section
// markers of GitLab are not part of a line.
type Stream struct {
	set  *Set
	emit func(Found)

	raw      []byte // what was not matched yet
	cleaner  cleaner
	walk     walk
	line     int   // lines before raw
	offset   int64 // bytes before raw
	sections []string

	long      bool         // raw goes on with a line of which a piece was matched
	longStart int64        // where that line began
	seen      map[int]bool // patterns found in it
	closed    bool
}

// Stream returns a stream that calls emit for each pattern and line that match,
// in the order of lines, and of patterns in a line; patterns of a line longer
// than MaxLine in the order of its pieces.
func (s *Set) Stream(emit func(Found)) *Stream {
	return &Stream{set: s, emit: emit, walk: newWalk(s)}
}

// Tried is on how many lines so far the pattern was tried: what it costs beyond
// the one pass that all share.
func (st *Stream) Tried(pattern int) int { return st.walk.runs[pattern] }

var errClosed = errors.New("write to a closed stream")

// Write takes p. It fails only after Close.
func (st *Stream) Write(p []byte) (n int, err error) {
	if st.closed {
		return 0, errClosed
	}
	for len(p) > 0 {
		room := min(len(p), MaxLine-len(st.raw))
		st.raw = append(st.raw, p[:room]...)
		p, n = p[room:], n+room
		if len(st.raw) == MaxLine {
			st.drain()
		}
	}
	return n, nil
}

// Close matches what is left, which need not end with a line feed.
func (st *Stream) Close() error {
	if st.closed {
		return nil
	}
	st.closed = true
	st.lines()
	if len(st.raw) > 0 {
		st.block(st.raw, true)
	}
	st.raw, st.cleaner = nil, cleaner{}
	return nil
}

// drain makes room in a full buffer.
func (st *Stream) drain() {
	if !st.lines() {
		st.piece()
	}
}

// lines matches the whole lines of the buffer; it reports whether there were any.
func (st *Stream) lines() bool {
	end := bytes.LastIndexByte(st.raw, '\n') + 1
	if end == 0 {
		return false
	}
	st.block(st.raw[:end], true)
	st.drop(end)
	return true
}

// drop forgets what was matched.
func (st *Stream) drop(n int) {
	st.offset += int64(n)
	st.raw = append(st.raw[:0], st.raw[n:]...)
}

// piece matches the buffer as a part of a line that is longer.
func (st *Stream) piece() {
	if !st.long {
		st.long, st.longStart, st.seen = true, st.offset, map[int]bool{}
		st.walk.cutBegin = false
	}
	st.walk.cutEnd = true
	used := st.block(st.raw, false)
	st.walk.cutBegin, st.walk.cutEnd = true, false
	st.drop(max(used-Overlap, 1))
}

// block matches raw, and returns how much of it was used.
func (st *Stream) block(raw []byte, whole bool) (used int) {
	st.cleaner.midLine = st.offset != st.longStart && st.long
	text, used := st.cleaner.clean(raw, whole)
	b := &blockReader{st: st, raw: raw, text: text, line: st.line}
	st.walk.reset(text, b.hit)
	st.walk.run()
	b.sections(len(text))
	if whole {
		st.line += bytes.Count(raw, []byte{'\n'})
		st.long, st.seen, st.walk.cutBegin = false, nil, false
	}
	return used
}

// blockReader follows the hits of a block: which line, where, in which section.
type blockReader struct {
	st      *Stream
	raw     []byte
	text    []byte
	at      int // in text, up to where lines were counted: the begin of a line
	rawAt   int // the same line in raw
	line    int // lines before
	markers int // of the cleaner that were seen
}

func (b *blockReader) hit(h Hit) {
	b.moveTo(h.Start)
	first := h.Start == 0 && b.st.long
	if first {
		if b.st.seen[h.Pattern] {
			return
		}
		b.st.seen[h.Pattern] = true
	}
	b.sections(h.Start + len(h.Line))
	f := Found{Pattern: h.Pattern, Line: b.line + 1, Offset: b.st.offset + int64(b.rawAt), Text: h.Line}
	if first {
		f.Offset = b.st.longStart
	}
	if n := len(b.st.sections); n > 0 {
		f.Section = b.st.sections[n-1]
	}
	b.st.emit(f)
}

// moveTo goes to the line that begins at start in the text. Line feeds are never
// taken out, so that it is as many lines on in raw.
func (b *blockReader) moveTo(start int) {
	n := bytes.Count(b.text[b.at:start], []byte{'\n'})
	b.at, b.line = start, b.line+n
	for range n {
		b.rawAt += bytes.IndexByte(b.raw[b.rawAt:], '\n') + 1
	}
}

// sections applies the markers before end.
func (b *blockReader) sections(end int) {
	st := b.st
	for ; b.markers < len(st.cleaner.markers) && st.cleaner.markers[b.markers].at <= end; b.markers++ {
		m := st.cleaner.markers[b.markers]
		switch at := lastOf(st.sections, m.name); {
		case m.start && len(st.sections) < maxNested:
			st.sections = append(st.sections, m.name)
		case !m.start && at >= 0:
			st.sections = st.sections[:at]
		}
	}
}

// maxNested bounds how many sections may be open in each other.
const maxNested = 64

func lastOf(list []string, s string) int {
	for i, one := range slices.Backward(list) {
		if one == s {
			return i
		}
	}
	return -1
}
