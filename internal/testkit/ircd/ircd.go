// Package ircd is an IRC server for tests that speaks enough of the protocol for
// a bot, keeps a transcript, and can be told to misbehave.
package ircd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Options say what the server can do, and how it misbehaves. The zero value is
// a plain server of RFC 1459 without capabilities.
type Options struct {
	Caps     []string          // offered in CAP LS, such as Modern()
	Nak      []string          // refused when asked for, and with them all that the same line asks for
	Accounts map[string]string // for SASL PLAIN, password by account
	Features []string          // tokens of ISUPPORT
	Keys     map[string]string // of channels
	Refuse   map[string]string // JOIN of the channel is answered by the numeric
	Taken    []string          // nicks in use
	Mute     []string          // channels that refuse what is said
	Blank    bool              // sends blank and broken lines between others
	Deaf     bool              // reads, and does nothing about it
	NoEcho   bool              // takes echo-message and does not echo
	Cut      int               // bytes of a whole line that it passes on; 0 means 512 without CR LF
	Host     string            // of all users; empty: fake.test
	Delay    time.Duration     // before each answer
}

// Modern are the capabilities of a server that confirms lines.
func Modern() []string {
	return []string{"account-tag", "batch", "cap-notify", "echo-message", "labeled-response", "message-tags", "multi-prefix", "server-time"}
}

// Said is one message that reached a channel or a nick.
type Said struct {
	From, Target, Text string
	Notice             bool
	At                 time.Time
}

// Server is the server. Its methods may be used by any goroutine.
type Server struct {
	mu      sync.Mutex
	o       Options
	clients map[*client]bool
	said    []Said
	lines   []string // everything that clients wrote
	joins   int
	refuse  bool // no new connections
	changed chan struct{}
	wg      sync.WaitGroup
}

// New makes a server; nobody listens yet.
func New(o Options) *Server {
	if o.Host == "" {
		o.Host = "fake.test"
	}
	return &Server{o: o, clients: map[*client]bool{}, changed: make(chan struct{})}
}

// Set changes how the server behaves from now on.
func (s *Server) Set(f func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.o)
}

// Dial connects to the server without a network: the other end of a pipe.
func (s *Server) Dial(context.Context, string) (net.Conn, error) {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	s.Serve(ours)
	return theirs, nil
}

// Listen serves a listener until it is closed.
func (s *Server) Listen(l net.Listener) {
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			refuse := s.refuse
			s.mu.Unlock()
			if refuse {
				conn.Close()
				continue
			}
			s.Serve(conn)
		}
	})
}

// Serve speaks with one client.
func (s *Server) Serve(conn net.Conn) {
	c := &client{s: s, conn: conn, out: make(chan string, 65536), gone: make(chan struct{}), caps: map[string]bool{}, rooms: map[string]bool{}}
	s.mu.Lock()
	s.clients[c] = true
	s.mu.Unlock()
	s.wg.Go(c.write)
	s.wg.Go(c.read)
}

// Close ends all connections and waits.
func (s *Server) Close() {
	s.Drop()
	s.wg.Wait()
}

// Down ends all connections and refuses new ones until Up.
func (s *Server) Down() {
	s.mu.Lock()
	s.refuse = true
	s.mu.Unlock()
	s.Drop()
}

// Up lets clients in again.
func (s *Server) Up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = false
}

// Drop ends all connections: of TCP with a reset, as a crashed server does.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if t, ok := c.conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		c.end()
	}
}

// wake tells who waits for something; the lock is held.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) find(nick string) *client {
	for c := range s.clients {
		if c.nick == nick {
			return c
		}
	}
	return nil
}

// Kick throws a nick out of a channel.
func (s *Server) Kick(channel, nick, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(nick); c != nil {
		delete(c.rooms, channel)
		c.send(":op!op@test KICK %s %s :%s", channel, nick, why)
	}
}

// Raw sends lines to a nick as they are.
func (s *Server) Raw(nick string, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(nick); c != nil {
		for _, l := range lines {
			c.send("%s", l)
		}
	}
}

// Said is what was said to a channel or nick so far; to all with "".
func (s *Server) Said(target string) (out []Said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.said {
		if target == "" || m.Target == target {
			out = append(out, m)
		}
	}
	return out
}

// Lines is everything that clients wrote.
func (s *Server) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// In reports whether a nick is in a channel.
func (s *Server) In(channel, nick string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(nick)
	return c != nil && c.rooms[channel]
}

// Await waits until holds says yes, looking again after every line of a client.
func (s *Server) Await(ctx context.Context, what string, holds func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if holds() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}
