// Package ircd is an IRC server for tests that speaks enough of the protocol for
// a bot, keeps a transcript, and can be told to misbehave.
package ircd

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
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

// client is a connection.
type client struct {
	s       *Server
	conn    net.Conn
	out     chan string
	gone    chan struct{}
	once    sync.Once
	nick    string
	user    string
	account string
	caps    map[string]bool
	capping bool
	welcome bool
	rooms   map[string]bool
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

func (c *client) end() {
	c.once.Do(func() {
		close(c.gone)
		c.conn.Close()
	})
}

func (c *client) write() {
	for {
		select {
		case line := <-c.out:
			if _, err := c.conn.Write([]byte(line + "\r\n")); err != nil {
				c.end()
				return
			}
		case <-c.gone:
			return
		}
	}
}

func (c *client) read() {
	defer func() {
		c.end()
		c.s.mu.Lock()
		delete(c.s.clients, c)
		c.s.mu.Unlock()
	}()
	r := bufio.NewReader(c.conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		c.s.mu.Lock()
		delay := c.s.o.Delay
		c.s.mu.Unlock()
		if delay > 0 {
			time.Sleep(delay)
		}
		select {
		case <-c.gone:
			return // what a crashed server did not read is lost
		default:
		}
		c.s.mu.Lock()
		if c.s.o.Deaf {
			c.s.mu.Unlock()
			continue
		}
		c.s.lines = append(c.s.lines, line)
		if c.s.o.Blank {
			c.send("")
			c.send(":")
		}
		c.line(line)
		c.s.wake()
		c.s.mu.Unlock()
	}
}

// wake tells who waits for something; the lock is held.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (c *client) send(format string, args ...any) {
	line := format
	if len(args) > 0 {
		line = fmt.Sprintf(format, args...)
	}
	select {
	case c.out <- line:
	default: // a client that reads nothing
		c.end()
	}
}

func (c *client) numeric(code, rest string) {
	c.send(":irc.test %s %s %s", code, orStar(c.nick), rest)
}

func orStar(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

func (c *client) mask() string { return c.nick + "!" + c.user + "@" + c.s.o.Host }

// parse takes a client's line apart.
func parse(line string) (tags map[string]string, command string, params []string) {
	tags = map[string]string{}
	if strings.HasPrefix(line, "@") {
		var raw string
		raw, line, _ = strings.Cut(line[1:], " ")
		for pair := range strings.SplitSeq(raw, ";") {
			k, v, _ := strings.Cut(pair, "=")
			tags[k] = v
		}
	}
	head, trailing, long := strings.Cut(line, " :")
	fields := strings.Fields(head)
	if len(fields) == 0 {
		return tags, "", nil
	}
	params = fields[1:]
	if long {
		params = append(params, trailing)
	}
	return tags, strings.ToUpper(fields[0]), params
}

// line answers one line; the lock is held.
func (c *client) line(raw string) {
	tags, command, params := parse(raw)
	arg := func(i int) string {
		if i < len(params) {
			return params[i]
		}
		return ""
	}
	switch command {
	case "CAP":
		c.cap(strings.ToUpper(arg(0)), strings.Fields(arg(1)))
	case "AUTHENTICATE":
		c.authenticate(arg(0))
	case "NICK":
		c.setNick(arg(0))
	case "USER":
		c.user = arg(0)
		c.register()
	case "PING":
		c.send(":irc.test PONG irc.test :%s", arg(0))
	case "JOIN":
		c.join(arg(0), arg(1))
	case "PART":
		delete(c.rooms, arg(0))
		c.send(":%s PART %s", c.mask(), arg(0))
	case "PRIVMSG", "NOTICE":
		c.say(tags["label"], command, arg(0), arg(1))
	case "QUIT":
		c.send("ERROR :Closing link")
		c.end()
	}
}

func (c *client) cap(command string, names []string) {
	switch command {
	case "LS":
		c.capping = true
		offer := slices.Clone(c.s.o.Caps)
		if c.s.o.Accounts != nil {
			offer = append(offer, "sasl=PLAIN")
		}
		if len(offer) == 0 {
			c.send(":irc.test CAP * LS :")
			return
		}
		c.send(":irc.test CAP * LS :%s", strings.Join(offer, " "))
	case "REQ":
		for _, name := range names {
			if slices.Contains(c.s.o.Nak, name) {
				c.send(":irc.test CAP * NAK :%s", strings.Join(names, " "))
				return
			}
		}
		for _, name := range names {
			c.caps[name] = true
		}
		c.send(":irc.test CAP * ACK :%s", strings.Join(names, " "))
	case "END":
		c.capping = false
		c.register()
	}
}

func (c *client) authenticate(arg string) {
	if arg == "PLAIN" {
		c.send("AUTHENTICATE +")
		return
	}
	raw, err := base64.StdEncoding.DecodeString(arg)
	parts := strings.Split(string(raw), "\x00")
	if err != nil || len(parts) != 3 || parts[2] == "" || c.s.o.Accounts[parts[1]] != parts[2] {
		c.numeric("904", ":SASL authentication failed")
		return
	}
	c.account = parts[1]
	c.numeric("900", c.nick+"!*@* "+c.account+" :You are now logged in as "+c.account)
	c.numeric("903", ":SASL authentication successful")
}

func (c *client) setNick(nick string) {
	taken := slices.Contains(c.s.o.Taken, nick)
	for other := range c.s.clients {
		taken = taken || other != c && other.nick == nick
	}
	if taken {
		c.numeric("433", nick+" :Nickname is already in use")
		return
	}
	if c.welcome {
		c.send(":%s NICK %s", c.mask(), nick)
	}
	c.nick = nick
	c.register()
}

func (c *client) register() {
	if c.welcome || c.nick == "" || c.user == "" || c.capping {
		return
	}
	c.welcome = true
	c.numeric("001", ":Welcome to the test, "+c.mask())
	c.numeric("005", strings.TrimSpace("CHANTYPES=# CASEMAPPING=rfc1459 NICKLEN=30 "+strings.Join(c.s.o.Features, " "))+" :are supported by this server")
	c.numeric("422", ":MOTD File is missing")
}

func (c *client) join(names, key string) {
	for name := range strings.SplitSeq(names, ",") {
		if code := c.s.o.Refuse[name]; code != "" {
			c.numeric(code, name+" :Cannot join channel")
			continue
		}
		if want := c.s.o.Keys[name]; want != "" && want != key {
			c.numeric("475", name+" :Cannot join channel (+k)")
			continue
		}
		c.rooms[name] = true
		c.s.joins++
		c.send(":%s JOIN %s", c.mask(), name)
		c.numeric("353", "= "+name+" :"+c.nick)
		c.numeric("366", name+" :End of /NAMES list.")
	}
}

// say passes a message on, cut to what fits into a line.
func (c *client) say(label, command, target, text string) {
	tag := ""
	if label != "" && c.caps["labeled-response"] {
		tag = "@label=" + label + " "
	}
	self := target == c.nick
	if !self && !c.rooms[target] && c.s.find(target) == nil || slices.Contains(c.s.o.Mute, target) {
		code, why := "401", "No such nick/channel"
		if strings.HasPrefix(target, "#") {
			code, why = "404", "Cannot send to channel"
		}
		c.send("%s:irc.test %s %s %s :%s", tag, code, c.nick, target, why)
		return
	}
	head := fmt.Sprintf(":%s %s %s :", c.mask(), command, target)
	limit := c.s.o.Cut
	if limit == 0 {
		limit = 510
	}
	if room := limit - len(head); len(text) > room {
		text = text[:max(0, room)]
	}
	c.s.said = append(c.s.said, Said{From: c.nick, Target: target, Text: text, Notice: command == "NOTICE", At: time.Now()})
	for other := range c.s.clients {
		if other != c && (other.rooms[target] || other.nick == target) {
			other.send("%s", head+text)
		}
	}
	switch {
	case c.caps["echo-message"] && !c.s.o.NoEcho:
		c.send("%s", tag+head+text)
	case tag != "" && !c.s.o.NoEcho:
		c.send("%s:irc.test ACK", tag)
	}
	if self {
		c.send("%s", head+text)
	}
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
