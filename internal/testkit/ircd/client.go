package ircd

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Client is a plain IRC client: a person who sits in a channel. It sends slowly
// enough not to be thrown out.
type Client struct {
	Nick string

	conn    net.Conn
	mu      sync.Mutex
	lines   []string
	times   []time.Time // of the lines
	changed chan struct{}
	err     error
	done    chan struct{}
}

// Connect registers with a server.
func Connect(ctx context.Context, address, nick string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to IRC: %w", err)
	}
	c := &Client{Nick: nick, conn: conn, changed: make(chan struct{}), done: make(chan struct{})}
	go c.read()
	err = c.Ask(ctx, "NICK "+nick+"\r\nUSER "+nick+" * * :a person", " 376 ", " 422 ")
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) read() {
	defer close(c.done)
	r := bufio.NewReader(c.conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.wake()
			c.mu.Unlock()
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if token, ok := strings.CutPrefix(line, "PING "); ok {
			if err := c.Send("PONG " + token); err != nil {
				continue // reading tells the end
			}
		}
		c.mu.Lock()
		c.lines, c.times = append(c.lines, line), append(c.times, time.Now())
		c.wake()
		c.mu.Unlock()
	}
}

func (c *Client) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Send writes a line.
func (c *Client) Send(line string) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(clientWait)); err != nil {
		return err
	}
	_, err := c.conn.Write([]byte(line + "\r\n"))
	return err
}

// Join goes into a channel.
func (c *Client) Join(ctx context.Context, channel string) error {
	return c.Ask(ctx, "JOIN "+channel, " 366 ")
}

// Ask sends a line and waits until a line that comes after it holds the first
// word; one of the others is an error.
func (c *Client) Ask(ctx context.Context, line, want string, others ...string) error {
	c.mu.Lock()
	from := len(c.lines)
	c.mu.Unlock()
	if err := c.Send(line); err != nil {
		return err
	}
	var bad error
	err := c.Await(ctx, want, func(lines []string) bool {
		for _, l := range lines[from:] {
			if strings.Contains(l, want) {
				return true
			}
			for _, o := range others {
				if strings.Contains(l, o) {
					bad = fmt.Errorf("asked %q, the server says: %s", line, l)
					if o == " 422 " || o == " 376 " {
						bad = nil
					}
					return true
				}
			}
		}
		return false
	})
	if bad != nil {
		return bad
	}
	return err
}

// Await waits until what was heard holds.
func (c *Client) Await(ctx context.Context, what string, holds func(lines []string) bool) error {
	for {
		c.mu.Lock()
		lines, changed, err := slices.Clone(c.lines), c.changed, c.err
		c.mu.Unlock()
		if holds(lines) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for %s on IRC: %w", what, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s on IRC: %w; heard:\n%s", what, ctx.Err(), strings.Join(lines, "\n"))
		}
	}
}

// Heard is what others said in a channel, or to us: nick and text.
func (c *Client) Heard(channel string) (heard []Said) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, l := range c.lines {
		source, rest, ok := strings.Cut(strings.TrimPrefix(l, ":"), " ")
		_, command, params := parse(rest)
		if !ok || len(params) < 2 || command != "PRIVMSG" && command != "NOTICE" || params[0] != channel {
			continue
		}
		nick, _, _ := strings.Cut(source, "!")
		heard = append(heard, Said{From: nick, Target: channel, Text: params[1], Notice: command == "NOTICE", At: c.times[i]})
	}
	return heard
}

// In is who came into a channel, since we are there, and did not leave it.
func (c *Client) In(channel string) (nicks []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	leave := func(nick string) {
		nicks = slices.DeleteFunc(nicks, func(n string) bool { return n == nick })
	}
	for _, l := range c.lines {
		source, rest, ok := strings.Cut(strings.TrimPrefix(l, ":"), " ")
		_, command, params := parse(rest)
		if !ok || len(params) == 0 {
			continue
		}
		nick, _, _ := strings.Cut(source, "!")
		switch here := params[0] == channel; {
		case command == "JOIN" && here:
			nicks = append(nicks, nick)
		case command == "PART" && here, command == "QUIT":
			leave(nick)
		case command == "KICK" && here && len(params) > 1:
			leave(params[1])
		case command == "NICK" && slices.Contains(nicks, nick):
			leave(nick)
			nicks = append(nicks, params[0])
		}
	}
	return nicks
}

// Close leaves.
func (c *Client) Close() {
	c.conn.Close()
	<-c.done
}
