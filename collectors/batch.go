package collectors

import (
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/colliehq/collie/collectors/cursor"
	"github.com/colliehq/collie/collectors/file"
	"github.com/colliehq/collie/collectors/loki"
)

// entry is one line of a batch, as a stretch of its bytes.
type entry struct {
	part       int32 // which of the parts
	start, end int32 // in raw
	flags      uint8
}

const (
	continued uint8 = 1 << iota // begins in the middle of a line
	cut                         // the line goes on
)

// part is a stretch of one file in a batch.
type part struct {
	log        *file.Log
	key        file.Key // that the file had
	start, end int      // in raw
	begin      int      // its first entry in this batch, which is r.First unless a part before it is lost
	plain      bool     // no line needs cleaning
	filename   []byte   // as lines are shipped with it
	r          cursor.Range
}

// batch is what is sent and acknowledged as one. Its memory is used again.
type batch struct {
	base    int64 // Unix nanoseconds of entry 0
	raw     []byte
	parts   []part
	entries []entry
	pieces  []file.Piece // scratch
}

func (b *batch) reset() {
	b.base, b.raw, b.parts, b.entries = 0, b.raw[:0], b.parts[:0], b.entries[:0]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add makes a part of the bytes of raw from start on, which are of the file at
// offset r.Start, and reports how many of them it covers. What it does not cover
// is cut off. All says that the last line has no end to wait for.
func (b *batch) add(l *file.Log, r cursor.Range, start int, all bool) (covered int) {
	data := b.raw[start:]
	b.pieces, covered = file.Split(data, r.Mid, r.Max, all, b.pieces[:0])
	b.raw = b.raw[:start+covered]
	if covered == 0 {
		return 0
	}
	data = data[:covered]
	r.Stop, r.Sum = r.Start+int64(covered), crc32.Checksum(data, castagnoli)
	p := part{log: l, key: l.Key, begin: len(b.entries), start: start, end: start + covered, plain: file.Plain(data), filename: []byte(strings.ToValidUTF8(r.Name, "\uFFFD")), r: r}
	for i := range b.pieces {
		b.piece(&b.pieces[i], start, len(b.parts), p.plain)
	}
	b.parts = append(b.parts, p)
	return covered
}

// piece makes an entry. A piece that is nothing but a hole is none.
func (b *batch) piece(p *file.Piece, start, part int, plain bool) {
	if !plain && p.End > p.Start && hole(b.raw[start+p.Start:start+p.End]) {
		return
	}
	e := entry{part: int32(part), start: int32(start + p.Start), end: int32(start + p.End)}
	if p.Continued {
		e.flags |= continued
	}
	if p.Cut {
		e.flags |= cut
	}
	b.entries = append(b.entries, e)
}

func hole(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// stamp is the time of an entry, in Unix nanoseconds.
func (b *batch) stamp(n int) int64 {
	p := &b.parts[b.entries[n].part]
	return b.base + int64(p.r.First+n-p.begin)
}

// flight is the batch as it is stored.
func (b *batch) flight() *cursor.Flight {
	f := &cursor.Flight{Base: b.base, Entries: len(b.entries)}
	for i := range b.parts {
		f.Ranges = append(f.Ranges, b.parts[i].r)
	}
	return f
}

// encoder turns entries into the body of a push, without an allocation for any.
type encoder struct {
	loki.Encoder

	line    []byte
	number  []byte
	invalid []byte
	meta    []loki.Pair
	changed file.Cleaned // by the last encode
	split   int
}

// partWords are what metadata says of an entry that is a part of a line.
var partWords = map[uint8][]byte{cut: []byte("first"), continued | cut: []byte("middle"), continued: []byte("last")}

// encode makes the body of the entries from i to before j.
func (e *encoder) encode(b *batch, i, j int) []byte {
	e.Reset()
	e.changed, e.split = file.Cleaned{}, 0
	part := int32(-1)
	for n := i; n < j; n++ {
		if at := b.entries[n].part; at != part {
			part = at
			e.Stream(b.parts[part].r.Labels)
		}
		line, meta := e.entry(b, n)
		e.Entry(b.stamp(n), line, meta)
	}
	return e.Body()
}

// entry is the line and the metadata of an entry, valid until the next.
func (e *encoder) entry(b *batch, n int) (line []byte, meta []loki.Pair) {
	at := &b.entries[n]
	p := &b.parts[at.part]
	line = file.TrimCR(b.raw[at.start:at.end])
	e.number = strconv.AppendInt(e.number[:0], p.r.Start+int64(int(at.start)-p.start), 10)
	e.meta = append(e.meta[:0], loki.Pair{Name: "filename", Value: p.filename}, loki.Pair{Name: "offset", Value: e.number})
	if at.flags != 0 {
		e.split++
		e.meta = append(e.meta, loki.Pair{Name: "part", Value: partWords[at.flags]})
	}
	if !p.plain {
		var c file.Cleaned
		e.line, c = file.Clean(e.line[:0], line)
		line = e.line
		e.changed.Invalid += c.Invalid
		e.changed.NULs += c.NULs
		if c.Invalid > 0 {
			e.invalid = strconv.AppendInt(e.invalid[:0], int64(c.Invalid), 10)
			e.meta = append(e.meta, loki.Pair{Name: "invalid_utf8_bytes", Value: e.invalid})
		}
	}
	return line, e.meta
}
