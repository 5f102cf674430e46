package file

import (
	"bytes"
	"unicode/utf8"
)

// Piece is a stretch of bytes that becomes one entry: a line without its end,
// or a part of a line that is too long or was never ended.
type Piece struct {
	Start, End int
	Continued  bool // begins in the middle of a line
	Cut        bool // the line goes on after it, or was never ended
}

// Split finds the pieces of raw, and how many bytes they cover. Lines longer
// than limit are cut, between characters. The line at the end that has no end
// yet is left for later, unless all is set. Mid says that raw begins in the
// middle of a line.
//
// What a call covered gives the same pieces when it is split again by itself,
// with all set: that is what makes a replay identical.
func Split(raw []byte, mid bool, limit int, all bool, to []Piece) (pieces []Piece, covered int) {
	pos := 0
	for pos < len(raw) {
		n := bytes.IndexByte(raw[pos:min(len(raw), pos+limit+1)], '\n')
		switch {
		case n >= 0:
			to = append(to, Piece{Start: pos, End: pos + n, Continued: mid})
			pos, mid = pos+n+1, false
		case len(raw)-pos > limit:
			n = boundary(raw[pos:], limit)
			to = append(to, Piece{Start: pos, End: pos + n, Continued: mid, Cut: true})
			pos, mid = pos+n, raw[pos+n-1] != 0
		case all:
			return append(to, Piece{Start: pos, End: len(raw), Continued: mid, Cut: true}), len(raw)
		default:
			return to, pos
		}
	}
	return to, pos
}

// boundary is where to cut b near n without cutting a character.
func boundary(b []byte, n int) int {
	for back := 0; back < utf8.UTFMax && back < n; back++ {
		if utf8.RuneStart(b[n-back]) {
			return n - back
		}
	}
	return n
}

// Mid reports whether what follows the byte is in the middle of a line. After a
// hole of NULs, a line begins.
func Mid(before byte) bool { return before != '\n' && before != 0 }

// Cleaned is what Clean had to change.
type Cleaned struct {
	Invalid int // bytes that were no UTF-8
	NULs    int // that were taken out
}

// Plain reports whether nothing in b needs Clean but the CRs before line ends.
func Plain(b []byte) bool { return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) }

// TrimCR takes the CR away that some systems write before the line's end.
func TrimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

const replacement = "\uFFFD"

// Clean appends the line to dst as valid UTF-8 without NULs: each byte that is
// not part of a character becomes U+FFFD. NULs are what a hole in a sparse file
// reads as, after a crash or when a file was truncated under its writer.
func Clean(dst, line []byte) ([]byte, Cleaned) {
	var c Cleaned
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && n == 1:
			c.Invalid++
			dst = append(dst, replacement...)
		case r == 0:
			c.NULs++
		default:
			dst = append(dst, line[:n]...)
		}
		line = line[n:]
	}
	return dst, c
}
