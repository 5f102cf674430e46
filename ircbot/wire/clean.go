package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text of outsiders fit for a line: no CR, LF, NUL or CTCP mark, no
// colours and formats of IRC, no other control or bidirectional characters,
// valid UTF-8. Runs of white space become one space.
func Clean(s string) string {
	s = stripColours(strings.ToValidUTF8(s, string(utf8.RuneError)))
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unwanted(r):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Word is Clean for what must be a single parameter, such as a nick: without
// spaces and without a colon in front.
func Word(s string) string {
	return strings.TrimLeft(strings.ReplaceAll(Clean(s), " ", "_"), ":")
}

// unwanted are control characters, and the marks that turn the direction of
// text or hide between its letters: they make a line look like another.
func unwanted(r rune) bool {
	switch {
	case unicode.IsControl(r), // bold, italics and reverse of IRC are among them
		r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f,
		r == 0x061c, r == 0xfeff:
		return true
	}
	return false
}

const (
	colour    = '\x03' // then up to two digits, a comma, up to two digits
	hexColour = '\x04' // then six hexadecimal digits, a comma, six more
)

// stripColours takes the colour codes away with their numbers, which Clean
// would leave behind as text.
func stripColours(s string) string {
	if !strings.ContainsAny(s, string([]rune{colour, hexColour})) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case colour:
			i += codeLen(s[i+1:], 1, 2, isDigit)
		case hexColour:
			i += codeLen(s[i+1:], 6, 6, isHex)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// codeLen is the length of a foreground and an optional background number of
// low to high digits.
func codeLen(s string, low, high int, digit func(byte) bool) int {
	count := func(s string) (n int) {
		for n < high && n < len(s) && digit(s[n]) {
			n++
		}
		if n < low {
			return 0
		}
		return n
	}
	n := count(s)
	if n == 0 || n == len(s) || s[n] != ',' {
		return n
	}
	if more := count(s[n+1:]); more > 0 {
		return n + 1 + more
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
