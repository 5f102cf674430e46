package host

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/colliehq/collie/exporters/probe"
)

// exchangeStep is one entry of query_response.
type exchangeStep struct {
	Expect      pattern     `yaml:"expect"`
	ExpectBytes string      `yaml:"expect_bytes"`
	Labels      []stepLabel `yaml:"labels"`
	Send        string      `yaml:"send"`
	StartTLS    bool        `yaml:"starttls"`
}

type stepLabel struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

func validateSteps(o *options, steps []exchangeStep) {
	labelName := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	for i, s := range steps {
		at := fmt.Sprintf("query_response[%d]", i)
		if s.Expect.Regexp != nil && s.ExpectBytes != "" {
			o.mistake(at, "only one of expect and expect_bytes can be set")
		}
		if len(s.Labels) > 0 && s.Expect.Regexp == nil {
			o.mistake(at, "labels need expect: their values are parts of what it matches")
		}
		seen := map[string]bool{}
		for _, l := range s.Labels {
			if !labelName.MatchString(l.Name) || strings.HasPrefix(l.Name, "__") {
				o.mistake(at, "%q is not the name of a label", l.Name)
			}
			if seen[l.Name] {
				o.mistake(at, "the label %s is set twice", l.Name)
			}
			seen[l.Name] = true
		}
	}
}

// conversation follows the steps of query_response over a connection.
type conversation struct {
	req     probe.Request
	conn    net.Conn
	in      *bufio.Reader
	upgrade func(net.Conn) (*tls.Conn, error)
	state   *tls.ConnectionState // of the last handshake

	labels      [][]string
	regexFailed bool
	bytesFailed bool
	transcript  bytes.Buffer
}

// maxLine bounds a line that is matched, in bytes, as in blackbox_exporter.
const maxLine = 64 << 10

func (c *conversation) follow(steps []exchangeStep) fault {
	c.in = bufio.NewReaderSize(c.conn, 1024)
	for i := range steps {
		if f := c.step(&steps[i]); f.reason != probe.None {
			return f
		}
	}
	return fault{}
}

func (c *conversation) step(s *exchangeStep) fault {
	send := s.Send
	if s.Expect.Regexp != nil {
		line, match, f := c.expect(s.Expect.Regexp)
		if f.reason != probe.None {
			return f
		}
		send = string(s.Expect.Expand(nil, []byte(send), line, match))
		c.keepLabels(s, line, match)
	}
	if s.ExpectBytes != "" {
		if f := c.expectBytes(s.ExpectBytes); f.reason != probe.None {
			return f
		}
	}
	if send != "" {
		c.note("> ", firstWord(send))
		if _, err := io.WriteString(c.conn, send+"\n"); err != nil {
			return fault{reasonOf(err, probe.Protocol), "send: " + plain(err)}
		}
	}
	if s.StartTLS {
		return c.startTLS()
	}
	return fault{}
}

// expect reads lines until one matches.
func (c *conversation) expect(re *regexp.Regexp) (line []byte, match []int, f fault) {
	for {
		line, err := c.line()
		if err != nil && len(line) == 0 {
			if errors.Is(err, io.EOF) {
				c.regexFailed = true
				return nil, nil, fault{probe.Body, fmt.Sprintf("the other side closed the connection before a line matched %q", re)}
			}
			return nil, nil, fault{reasonOf(err, probe.Protocol), fmt.Sprintf("wait for a line that matches %q: %s", re, plain(err))}
		}
		c.note("< ", string(line))
		if match = re.FindSubmatchIndex(line); match != nil {
			c.regexFailed = false
			return line, match, fault{}
		}
	}
}

var errLine = fmt.Errorf("a line is longer than %d bytes", maxLine)

// line reads up to a line feed, or what is left at the end.
func (c *conversation) line() ([]byte, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, errLine
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err // half a line is none
		case err != nil:
			return trimLine(line), err
		}
		if line = trimLine(line); len(line) == 0 {
			line = []byte{} // an empty line, not the end
		}
		return line, nil
	}
}

func trimLine(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

func (c *conversation) expectBytes(want string) fault {
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.in, got)
	c.note("< ", string(got[:n]))
	if err != nil {
		return fault{reasonOf(err, probe.Protocol), fmt.Sprintf("wait for %d bytes: %s", len(want), plain(err))}
	}
	if c.bytesFailed = string(got) != want; c.bytesFailed {
		return fault{probe.Body, fmt.Sprintf("expected the bytes %q, got %q", want, got)}
	}
	return fault{}
}

func (c *conversation) keepLabels(s *exchangeStep, line []byte, match []int) {
	if len(s.Labels) == 0 {
		return
	}
	var pairs []string
	for _, l := range s.Labels {
		pairs = append(pairs, l.Name, labelText(string(s.Expect.Expand(nil, []byte(l.Value), line, match))))
	}
	c.labels = append(c.labels, pairs)
}

func (c *conversation) startTLS() fault {
	t, err := c.upgrade(c.conn)
	if err != nil {
		return fault{reasonOf(err, probe.TLS), "STARTTLS: TLS handshake: " + plain(err)}
	}
	state := t.ConnectionState()
	c.conn, c.state = t, &state
	c.in.Reset(t)
	return fault{}
}

// note keeps a line of the exchange as evidence.
func (c *conversation) note(direction, text string) {
	if c.transcript.Len() < probe.MaxEvidence {
		text = strings.ToValidUTF8(text, "�")
		fmt.Fprintf(&c.transcript, "%s%s\n", direction, text[:min(len(text), maxBodyEvidence)])
	}
	if isDebug(c.req) {
		c.req.Log.Debug("line", "direction", strings.TrimSpace(direction), "text", text)
	}
}

// firstWord stands for a line that is sent: what follows may be a password.
func firstWord(line string) string {
	for i, r := range line {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			if strings.TrimSpace(line[i:]) == "" {
				return line[:i]
			}
			return line[:i] + " ..."
		}
		if r == utf8.RuneError || r < ' ' {
			return fmt.Sprintf("(%d bytes)", len(line))
		}
	}
	return line
}
