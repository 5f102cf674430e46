package api

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// scanner reads an XML document from the left, without copying. It knows what
// S3 servers send: elements, attributes (which are passed by), text, the five
// named entities, numeric ones, comments and CDATA. Document types are refused,
// and with them every entity of one's own making.
type scanner struct{ rest []byte }

// kind is what child found.
type kind byte

const (
	begin kind = iota // an element begins
	end               // the one around ends
	empty             // <element/>
)

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

// prologue passes by what stands before the root element.
func (s *scanner) prologue() error {
	s.rest = bytes.TrimPrefix(s.rest, []byte("\xef\xbb\xbf"))
	for {
		s.rest = bytes.TrimLeft(s.rest, " \t\r\n")
		switch {
		case bytes.HasPrefix(s.rest, []byte("<?")):
			if !s.skipTo("?>") {
				return broken("its XML ends too early")
			}
		case bytes.HasPrefix(s.rest, []byte("<!--")):
			if !s.skipTo("-->") {
				return broken("its XML ends too early")
			}
		case bytes.HasPrefix(s.rest, []byte("<!")):
			return broken("its XML has a document type, which S3's never has")
		default:
			return nil
		}
	}
}

// skipTo goes behind the first mark.
func (s *scanner) skipTo(mark string) bool {
	at := bytes.Index(s.rest, []byte(mark))
	if at < 0 {
		return false
	}
	s.rest = s.rest[at+len(mark):]
	return true
}

// open reads the start of an element; closed says that it ends with itself.
func (s *scanner) open() (name []byte, closed bool, err error) {
	if len(s.rest) == 0 || s.rest[0] != '<' {
		return nil, false, broken("it is no XML: %q", clip(string(s.rest[:min(len(s.rest), 80)])))
	}
	n := 1
	for n < len(s.rest) && !ends(s.rest[n]) {
		n++
	}
	name = local(s.rest[1:n])
	s.rest = s.rest[n:]
	if len(name) == 0 {
		return nil, false, broken("an element has no name")
	}
	closed, err = s.attributes()
	return name, closed, err
}

// ends tells whether c cannot be in a name.
func ends(c byte) bool {
	return c == '>' || c == '/' || c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '<' || c == '=' || c == '"' || c == '\''
}

// local is a name without the prefix of its namespace.
func local(name []byte) []byte {
	if at := bytes.LastIndexByte(name, ':'); at >= 0 {
		return name[at+1:]
	}
	return name
}

// attributes passes by the rest of a start tag.
func (s *scanner) attributes() (closed bool, err error) {
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '>':
			s.rest = s.rest[i+1:]
			return false, nil
		case '/':
			if i+1 < len(s.rest) && s.rest[i+1] == '>' {
				s.rest = s.rest[i+2:]
				return true, nil
			}
			return false, broken("a tag has a stray slash")
		case '<':
			return false, broken("a tag is not closed")
		case '"', '\'':
			n := bytes.IndexByte(s.rest[i+1:], c)
			if n < 0 {
				return false, broken("its XML ends too early")
			}
			i += n + 1
		}
	}
	return false, broken("its XML ends too early")
}

// child goes to the next element in parent, which is open, or to its end.
func (s *scanner) child(parent []byte) (name []byte, k kind, err error) {
	for {
		at := bytes.IndexByte(s.rest, '<')
		if at < 0 || at+1 >= len(s.rest) {
			return nil, end, broken("its XML ends too early")
		}
		if !blank(s.rest[:at]) {
			return nil, end, broken("text stands between its elements")
		}
		s.rest = s.rest[at:]
		switch s.rest[1] {
		case '/':
			return nil, end, s.closing(parent)
		case '!', '?':
			if err := s.skipOther(); err != nil {
				return nil, end, err
			}
		default:
			name, closed, err := s.open()
			if closed {
				return name, empty, err
			}
			return name, begin, err
		}
	}
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// skipOther passes by a comment or an instruction.
func (s *scanner) skipOther() error {
	mark := "?>"
	if s.rest[1] == '!' {
		if !bytes.HasPrefix(s.rest, []byte("<!--")) {
			return broken("its XML has a declaration between its elements")
		}
		mark = "-->"
	}
	if !s.skipTo(mark) {
		return broken("its XML ends too early")
	}
	return nil
}

// closing reads the end tag of name.
func (s *scanner) closing(name []byte) error {
	at := bytes.IndexByte(s.rest, '>')
	if at < 0 {
		return broken("its XML ends too early")
	}
	got := local(bytes.TrimRight(s.rest[2:at], " \t\r\n"))
	s.rest = s.rest[at+1:]
	if !bytes.Equal(got, name) {
		return broken("%s is closed as %s", clip(string(name)), clip(string(got)))
	}
	return nil
}

// text reads the text of the element called name, which was just opened, up to
// its end. Elements in it are passed by with what they hold: then the text is
// empty.
func (s *scanner) text(name []byte) ([]byte, error) {
	text, mixed, err := s.raw(name)
	if err != nil || mixed {
		return text, err
	}
	return plainText(text)
}

// raw is the text with its entities undecoded, unless it is mixed with others.
func (s *scanner) raw(name []byte) (text []byte, mixed bool, err error) {
	at := bytes.IndexByte(s.rest, '<')
	if at < 0 || at+1 >= len(s.rest) {
		return nil, false, broken("its XML ends too early")
	}
	if s.rest[at+1] != '/' {
		text, err = s.mixed(name)
		return text, true, err
	}
	text, s.rest = s.rest[:at], s.rest[at:]
	return text, false, s.closing(name)
}

// maxDepth bounds how deep elements may be in each other: Contents has Owner,
// which has ID.
const maxDepth = 16

// mixed reads an element that holds more than text.
func (s *scanner) mixed(name []byte) ([]byte, error) {
	var text []byte
	stack := [][]byte{name}
	for len(stack) > 0 {
		at := bytes.IndexByte(s.rest, '<')
		if at < 0 || at+1 >= len(s.rest) {
			return nil, broken("its XML ends too early")
		}
		if len(stack) == 1 {
			plain, err := plainText(s.rest[:at])
			if err != nil {
				return nil, err
			}
			text = append(text, plain...)
		}
		s.rest = s.rest[at:]
		switch {
		case bytes.HasPrefix(s.rest, []byte("<![CDATA[")):
			n := bytes.Index(s.rest, []byte("]]>"))
			if n < 0 {
				return nil, broken("its XML ends too early")
			}
			if len(stack) == 1 {
				text = append(text, s.rest[len("<![CDATA["):n]...)
			}
			s.rest = s.rest[n+3:]
		case s.rest[1] == '!' || s.rest[1] == '?':
			if err := s.skipOther(); err != nil {
				return nil, err
			}
		case s.rest[1] == '/':
			if err := s.closing(stack[len(stack)-1]); err != nil {
				return nil, err
			}
			stack = stack[:len(stack)-1]
		default:
			inner, closed, err := s.open()
			if err != nil {
				return nil, err
			}
			if !closed {
				stack = append(stack, inner)
			}
			if len(stack) > maxDepth {
				return nil, broken("its elements are more than %d deep in each other", maxDepth)
			}
			text = nil
		}
	}
	return text, nil
}

// epilogue wants nothing behind the root element.
func (s *scanner) epilogue() error {
	if err := s.prologue(); err != nil {
		return err
	}
	if len(s.rest) > 0 {
		return broken("something stands behind its end")
	}
	return nil
}

// plainText decodes entities.
func plainText(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '&') < 0 {
		return text, nil
	}
	var out []byte
	for {
		at := bytes.IndexByte(text, '&')
		if at < 0 {
			return append(out, text...), nil
		}
		out = append(out, text[:at]...)
		text = text[at+1:]
		semicolon := bytes.IndexByte(text[:min(len(text), 12)], ';')
		if semicolon < 1 {
			return nil, broken("an entity has no end")
		}
		r, err := entity(string(text[:semicolon]))
		if err != nil {
			return nil, err
		}
		out = utf8.AppendRune(out, r)
		text = text[semicolon+1:]
	}
}

func entity(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	if name[0] != '#' {
		return 0, broken("the entity %s is none of XML's own", clip(name))
	}
	return numeric(name[1:])
}

// numeric reads #38 or #x26, without its sign.
func numeric(digits string) (rune, error) {
	base := rune(10)
	if len(digits) > 0 && digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	var r rune
	for i := range len(digits) {
		d := digit(digits[i])
		if d >= base {
			return 0, broken("an entity is no number")
		}
		if r = r*base + d; r > utf8.MaxRune {
			return 0, broken("an entity is no character")
		}
	}
	if len(digits) == 0 || !utf8.ValidRune(r) || r == 0 {
		return 0, broken("an entity is no character")
	}
	return r, nil
}

func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	default:
		return 99
	}
}

// walk reads a small document and calls f with each element that has no other
// in it: its path, as in "/Error/Code", and its text.
func walk(body []byte, f func(path string, text []byte) error) (root string, err error) {
	s := scanner{rest: body}
	if err := s.prologue(); err != nil {
		return "", err
	}
	name, closed, err := s.open()
	if err != nil {
		return "", err
	}
	root = string(name)
	if !closed {
		if err := s.inside(name, "/"+root, 1, f); err != nil {
			return root, err
		}
	}
	return root, s.epilogue()
}

// inside walks what is in the element at path.
func (s *scanner) inside(element []byte, path string, depth int, f func(path string, text []byte) error) error {
	if depth > maxDepth {
		return broken("its elements are more than %d deep in each other", maxDepth)
	}
	for {
		name, k, err := s.child(element)
		if err != nil || k == end {
			return err
		}
		if k == empty {
			continue
		}
		below := path + "/" + string(name)
		if s.leaf() {
			text, err := s.text(name)
			if err == nil {
				err = f(below, text)
			}
			if err != nil {
				return err
			}
			continue
		}
		if err := s.inside(name, below, depth+1, f); err != nil {
			return err
		}
	}
}

// leaf tells whether the element that was just opened holds only text.
func (s *scanner) leaf() bool {
	at := bytes.IndexByte(s.rest, '<')
	return at >= 0 && at+1 < len(s.rest) && (s.rest[at+1] == '/' || s.rest[at+1] == '!' || !blank(s.rest[:at]))
}
