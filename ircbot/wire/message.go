// Package wire is the text of IRC: it takes lines apart and puts them together,
// cleans what outsiders wrote, and cuts text into what fits into a line.
package wire

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// ErrLine is a line that is no IRC message.
var ErrLine = errors.New("not an IRC message")

// Message is one line, in either direction.
type Message struct {
	Tags    map[string]string // unescaped; nil without tags
	Source  string            // without the colon; empty if there is none
	Command string            // as it came; commands are compared in upper case
	Params  []string
}

// New makes a message without tags and source.
func New(command string, params ...string) Message { return Message{Command: command, Params: params} }

// Parse takes a line apart, with or without its CR LF (RFC 1459 section 2.3.1
// and the IRCv3 message-tags specification). Several spaces count as one.
func Parse(line string) (Message, error) {
	var m Message
	line = strings.TrimRight(line, "\r\n")
	if raw, ok := strings.CutPrefix(line, "@"); ok {
		var tags string
		tags, line = word(raw)
		m.Tags = parseTags(tags)
	}
	line = strings.TrimLeft(line, " ")
	if raw, ok := strings.CutPrefix(line, ":"); ok {
		m.Source, line = word(raw)
		if m.Source == "" {
			return Message{}, ErrLine
		}
	}
	if m.Command, line = word(line); !isCommand(m.Command) {
		return Message{}, ErrLine
	}
	m.Params = parseParams(line)
	return m, nil
}

// isCommand holds that a command is of letters or digits.
func isCommand(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !isLetter(r) && (r < '0' || r > '9') })
}

func isLetter(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' }

func parseParams(line string) (params []string) {
	for line != "" {
		if trailing, ok := strings.CutPrefix(line, ":"); ok {
			return append(params, trailing)
		}
		var param string
		param, line = word(line)
		params = append(params, param)
	}
	return params
}

// word cuts the text before the first space, and the spaces with it.
func word(s string) (first, rest string) {
	first, rest, _ = strings.Cut(s, " ")
	return first, strings.TrimLeft(rest, " ")
}

func parseTags(s string) map[string]string {
	tags := map[string]string{}
	for pair := range strings.SplitSeq(s, ";") {
		if name, value, _ := strings.Cut(pair, "="); name != "" {
			tags[name] = unescape(value)
		}
	}
	return tags
}

// unescape goes character by character: a replacement of pairs would take
// `\\n` for a line end.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			break
		}
		switch s[i] {
		case ':':
			b.WriteByte(';')
		case 's':
			b.WriteByte(' ')
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

var escape = strings.NewReplacer(";", `\:`, " ", `\s`, `\`, `\\`, "\r", `\r`, "\n", `\n`)

// String is the message as a line, without CR LF. A parameter that cannot stand
// where it is (a space or nothing in it before the last) is the caller's
// mistake; see Clean and Word.
func (m Message) String() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(m.Tags)) {
		b.WriteByte("@;"[min(i, 1)])
		b.WriteString(name)
		if v := m.Tags[name]; v != "" {
			b.WriteByte('=')
			b.WriteString(escape.Replace(v))
		}
	}
	if len(m.Tags) > 0 {
		b.WriteByte(' ')
	}
	if m.Source != "" {
		b.WriteByte(':')
		b.WriteString(m.Source)
		b.WriteByte(' ')
	}
	b.WriteString(m.Command)
	for i, p := range m.Params {
		b.WriteByte(' ')
		if i == len(m.Params)-1 && (p == "" || p[0] == ':' || strings.Contains(p, " ")) {
			b.WriteByte(':')
		}
		b.WriteString(p)
	}
	return b.String()
}

// Is reports whether the message is one of the commands, given in upper case.
func (m Message) Is(commands ...string) bool {
	return slices.ContainsFunc(commands, func(c string) bool { return strings.EqualFold(c, m.Command) })
}

// Param is the parameter at i, empty if there are fewer.
func (m Message) Param(i int) string {
	if i < 0 || i >= len(m.Params) {
		return ""
	}
	return m.Params[i]
}

// Last is the last parameter, empty if there is none.
func (m Message) Last() string { return m.Param(len(m.Params) - 1) }

// Mask is a source taken apart: nick!user@host, or a server's name as Nick.
type Mask struct{ Nick, User, Host string }

// ParseMask takes a source apart.
func ParseMask(source string) Mask {
	rest, host, _ := strings.Cut(source, "@")
	nick, user, _ := strings.Cut(rest, "!")
	return Mask{nick, user, host}
}

// String is nick!user@host, without what is not known.
func (m Mask) String() string {
	s := m.Nick
	if m.User != "" {
		s += "!" + m.User
	}
	if m.Host != "" {
		s += "@" + m.Host
	}
	return s
}

// Fold brings a nick or channel to the form in which the server compares names.
// The mapping is what ISUPPORT says of CASEMAPPING; everything but ascii is
// taken for rfc1459, in which {}|^ are the small letters of []\~.
func Fold(mapping, name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case mapping != "ascii" && (r == '[' || r == ']' || r == '\\'):
			return r + '{' - '['
		case mapping != "ascii" && mapping != "strict-rfc1459" && r == '~':
			return '^'
		}
		return r
	}, name)
}
