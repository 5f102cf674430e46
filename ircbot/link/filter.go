package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/lrstanley/girc"

	"github.com/colliehq/collie/ircbot/wire"
)

const (
	// maxLine is the longest line that is kept: 8191 bytes of tags and 512 of
	// message. What is longer is no IRC and is skipped.
	maxLine = 8191 + wire.LineLimit
	// patience is how long one write may take: a peer that reads nothing for so
	// long is gone.
	patience = 30 * time.Second
	// silence is how long a server may say nothing at all. The session asks long
	// before whether it is there.
	silence = 5 * time.Minute
)

// filter stands between girc and the socket. Inbound it gives girc whole lines
// of the kinds that girc handles well, and nothing that its parser rejects: one
// blank line would end the connection. Outbound it drops girc's WHO, which in a
// storm of JOINs would hold back our PONG or flood us off the network.
type filter struct {
	net.Conn
	l *Link

	in      []byte // read, not yet a whole line
	long    bool   // in the middle of a line that is too long
	forGirc []byte // lines that girc has not taken yet

	mu  sync.Mutex
	out []byte // written by girc, not yet a whole line
}

// SetReadDeadline does nothing: girc would set it for each line that it gets, and
// most lines are not for girc.
func (f *filter) SetReadDeadline(time.Time) error { return nil }

// Read gives girc its next bytes. Only girc's reader calls it.
func (f *filter) Read(p []byte) (int, error) {
	for len(f.forGirc) == 0 {
		if err := f.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.forGirc)
	f.forGirc = f.forGirc[n:]
	return n, nil
}

// more reads once, and takes the whole lines from what was read.
func (f *filter) more() error {
	var buf [4096]byte
	if err := f.Conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	n, err := f.Conn.Read(buf[:])
	f.in = append(f.in, buf[:n]...)
	for {
		line, rest, whole := bytes.Cut(f.in, []byte{'\n'})
		if !whole {
			break
		}
		f.in = rest
		if f.long {
			f.long = false
			continue
		}
		f.line(string(bytes.TrimRight(line, "\r")))
	}
	if len(f.in) > maxLine {
		f.in, f.long = nil, true
		f.l.skipped.Add(1)
	}
	if n > 0 && errors.Is(err, io.EOF) {
		return nil // the end comes again
	}
	return err
}

func (f *filter) line(line string) {
	m, err := wire.Parse(line)
	if err != nil {
		f.l.skipped.Add(1)
		return
	}
	for _, m := range f.l.inbound(m, f.say) {
		f.give(m)
	}
	if m.Is("001") && f.l.ctx.Err() != nil {
		return // we are in without the account that is required: nobody may act on it before the end
	}
	f.l.observe(m)
}

// give puts a message before girc, in a form that girc's parser takes.
func (f *filter) give(m wire.Message) {
	m.Tags = nil
	if line := m.String(); girc.ParseEvent(line) != nil {
		f.forGirc = append(f.forGirc, line+"\r\n"...)
	}
}

// say writes a line of our own beside girc's.
func (f *filter) say(m wire.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.writeLine(m.String()); err != nil {
		f.l.end(fmt.Errorf("write to %s: %w", f.l.c.Address, err))
	}
}

// Write takes what girc writes, and sends it line by line.
func (f *filter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out = append(f.out, p...)
	for {
		line, rest, whole := bytes.Cut(f.out, []byte{'\n'})
		if !whole {
			return len(p), nil
		}
		f.out = rest
		if err := f.writeLine(strings.TrimRight(string(line), "\r")); err != nil {
			return 0, err
		}
	}
}

func (f *filter) writeLine(line string) error {
	if line == "" || strings.HasPrefix(line, "WHO ") {
		return nil
	}
	return f.writeRaw(line)
}

func (f *filter) writeRaw(line string) error {
	if err := f.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	f.l.written.Add(1)
	_, err := f.Conn.Write([]byte(line + "\r\n"))
	return err
}
