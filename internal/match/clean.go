package match

import "bytes"

const (
	escape     = 0x1b
	bell       = 0x07
	maxEscape  = 4 << 10 // bytes; what goes on longer is no escape sequence
	eraseLine  = "[0K"   // what GitLab ends a marker with, after the escape
	maxSection = 256     // bytes of a marker
)

// marker is a GitLab section marker that was taken out: at is where it stood in
// the clean text.
type marker struct {
	at    int
	start bool // of a section, else its end
	name  string
}

// cleaner takes out what is there for terminals and for GitLab's log viewer:
// escape sequences (ECMA-48) and section markers. Line feeds always stay, so
// that lines can be counted on both sides.
//
// Newer runners begin each line with its time and stream; a log whose block
// begins so loses that too, so that "^" is where the job's own text begins.
type cleaner struct {
	text    []byte
	markers []marker

	plain   []byte // raw without stamps
	stamps  bool   // lines begin with stamps
	midLine bool   // raw begins in the middle of a line
}

// clean returns raw without escape sequences, and how many bytes of raw that is:
// less than all if raw ends inside of a sequence, and not if last. What it
// returns is valid until the next call; it is raw itself if there was nothing to
// take out.
func (c *cleaner) clean(raw []byte, last bool) (text []byte, used int) {
	c.text, c.markers = c.text[:0], c.markers[:0]
	all := len(raw)
	raw = c.unstamped(raw)
	text, used = c.unescaped(raw, last)
	return text, used + all - len(raw)
}

func (c *cleaner) unescaped(raw []byte, last bool) (text []byte, used int) {
	next := bytes.IndexByte(raw, escape)
	if next < 0 {
		return raw, len(raw)
	}
	at := 0
	for next >= 0 {
		c.text = append(c.text, raw[at:at+next]...)
		at += next
		n := sequence(raw[at:])
		if n == 0 && !last && len(raw)-at < maxEscape {
			return c.text, at
		}
		if bytes.HasPrefix(raw[at+1:], []byte(eraseLine)) {
			c.takeMarker()
		}
		at += max(n, 1)
		next = bytes.IndexByte(raw[at:], escape)
	}
	c.text = append(c.text, raw[at:]...)
	return c.text, len(raw)
}

// stamp is the length of what a runner with FF_TIMESTAMPS writes before each
// line: the time, the number and kind of the stream, and a plus where the line
// goes on with the one before: 2024-05-22T12:12:46.214615Z 00O+
// (https://docs.gitlab.com/17.5/ee/ci/yaml/ci_job_log_timestamps.html; the form is
// that of gitlab/lib/gitlab/ci/ansi2json).
const stamp = len("2024-05-22T12:12:46.214615Z 00O ")

func hasStamp(line []byte) bool {
	const form = "dddd-dd-ddTdd:dd:dd.ddddddZ xxKS"
	if len(line) < stamp {
		return false
	}
	for i := range stamp {
		c := line[i]
		ok := c == form[i]
		switch form[i] {
		case 'd':
			ok = '0' <= c && c <= '9'
		case 'x':
			ok = '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
		case 'K':
			ok = c == 'O' || c == 'E'
		case 'S':
			ok = c == ' ' || c == '+'
		}
		if !ok {
			return false
		}
	}
	return true
}

// unstamped is raw without the stamps of its lines, if it begins with one or an
// earlier block did.
func (c *cleaner) unstamped(raw []byte) []byte {
	if !c.midLine && !c.stamps {
		c.stamps = hasStamp(raw)
	}
	if !c.stamps {
		return raw
	}
	c.plain = c.plain[:0]
	for first := true; len(raw) > 0; first = false {
		end := bytes.IndexByte(raw, '\n') + 1
		if end == 0 {
			end = len(raw)
		}
		line := raw[:end]
		if hasStamp(line) && (!first || !c.midLine) {
			line = line[stamp:]
		}
		c.plain = append(c.plain, line...)
		raw = raw[end:]
	}
	return c.plain
}

// sequence is the length of the escape sequence that b begins with; 0 if b ends
// inside of it. A line feed ends every sequence and is no part of it.
func sequence(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch c := b[1]; {
	case c == '[':
		return controlSequence(b)
	case c == ']', c == 'P', c == '_', c == '^', c == 'X':
		return controlString(b)
	case c >= 0x30 && c <= 0x7e:
		return 2
	}
	return 1
}

// controlSequence is CSI: parameters and a final byte.
func controlSequence(b []byte) int {
	for i, c := range b[2:min(len(b), maxEscape)] {
		switch {
		case c >= 0x40 && c <= 0x7e:
			return 2 + i + 1
		case c < 0x20 || c > 0x7e:
			return 2 + i // broken off
		}
	}
	return 0
}

// controlString is OSC and its like: a text that ends with a bell or ESC \.
func controlString(b []byte) int {
	for i, c := range b[2:min(len(b), maxEscape)] {
		switch c {
		case bell:
			return 2 + i + 1
		case '\n':
			return 2 + i
		case escape:
			if 2+i+1 == len(b) {
				return 0
			}
			if b[2+i+1] == '\\' {
				return 2 + i + 2
			}
			return 2 + i
		}
	}
	return 0
}

// takeMarker takes out a section marker that the text ends with:
// section_start:UNIX_TIME:NAME[options] and a carriage return
// (https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections).
func (c *cleaner) takeMarker() {
	tail := c.text[max(0, len(c.text)-maxSection):]
	if len(tail) == 0 || tail[len(tail)-1] != '\r' {
		return
	}
	from := bytes.LastIndex(tail, []byte("section_"))
	if from < 0 || bytes.IndexByte(tail[from:], '\n') >= 0 {
		return
	}
	word, rest, _ := bytes.Cut(tail[from+len("section_"):len(tail)-1], []byte(":"))
	_, name, ok := bytes.Cut(rest, []byte(":"))
	if kind := string(word); !ok || kind != "start" && kind != "end" {
		return
	}
	if options := bytes.IndexByte(name, '['); options >= 0 {
		name = name[:options]
	}
	c.text = c.text[:len(c.text)-(len(tail)-from)]
	c.markers = append(c.markers, marker{at: len(c.text), start: string(word) == "start", name: string(name)})
}
