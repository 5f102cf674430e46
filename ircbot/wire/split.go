package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// LineLimit is what a server takes in one line, CR LF and the source that
	// it puts in front included, tags excluded (RFC 1459 section 2.3).
	LineLimit = 512
	// MinText is the least that Split is asked to fill.
	MinText = 40
	// hostLimit is the longest host that servers show.
	hostLimit = 63
	userLimit = 11
)

// Budget is how many bytes of text fit into one line to target, once the server
// has put our own source in front. What is not known of it is taken at its
// longest.
func Budget(self Mask, command, target string) int {
	user, host := len(self.User), len(self.Host)
	if user == 0 {
		user = userLimit
	}
	if host == 0 {
		host = hostLimit
	}
	source := len(":!@ ") + len(self.Nick) + user + host
	return max(MinText, LineLimit-len("\r\n")-source-len(command+" "+target+" :"))
}

// Split cuts clean text into at most parts pieces of at most limit bytes, at
// spaces where it can, else between characters. Several pieces are marked (1/3)
// at their end. What does not fit is left out, and more (a link to the whole
// text, or nothing) ends the last piece after three dots.
func Split(text string, limit, parts int, more string) []string {
	limit, parts = max(limit, MinText), max(parts, 1)
	if len(text) <= limit {
		return []string{text}
	}
	room := limit - len(mark(parts, parts))
	pieces := pieces(text, room)
	if len(pieces) > parts {
		pieces = append(pieces[:parts-1], ending(pieces[parts-1], room, more))
	}
	if len(pieces) == 1 {
		return pieces
	}
	for i := range pieces {
		pieces[i] += mark(i+1, len(pieces))
	}
	return pieces
}

func mark(i, n int) string { return fmt.Sprintf(" (%d/%d)", i, n) }

func pieces(text string, room int) (out []string) {
	for len(text) > room {
		at := cut(text, room)
		out = append(out, strings.TrimRight(text[:at], " "))
		text = strings.TrimLeft(text[at:], " ")
	}
	if text != "" {
		out = append(out, text)
	}
	return out
}

// cut says where to part a text that is longer than room: at the last space of
// its second half, else before the character that does not fit.
func cut(text string, room int) int {
	if at := strings.LastIndexByte(text[:room+1], ' '); at > room/2 {
		return at
	}
	at := room
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	if at == 0 { // no UTF-8, or a room smaller than a character
		return room
	}
	return at
}

// ending shortens the last piece so that it says that there is more.
func ending(piece string, room int, more string) string {
	tail := "..."
	if more != "" && len(more)+len("... ") <= room/2 {
		tail += " " + more
	}
	if len(piece)+len(tail) > room {
		piece = strings.TrimRight(piece[:cut(piece, room-len(tail))], " ")
	}
	return piece + tail
}
