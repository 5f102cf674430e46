package ircd

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

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
