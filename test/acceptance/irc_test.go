package acceptance

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// ircClient is a plain IRC client, as a person's: it joins a channel and
// remembers every line.
type ircClient struct {
	conn    net.Conn
	channel string
	done    chan struct{}

	mu    sync.Mutex
	lines []string
}

// cmdIRC is the plain client: irc join NAME PORT NICK CHANNEL, irc say NAME
// TEXT, irc await NAME REGEXP, irc count NAME N REGEXP, irc leave NAME.
func cmdIRC(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("irc join NAME PORT NICK CHANNEL | irc say|await NAME TEXT | irc count NAME N REGEXP | irc leave NAME")
	if len(args) < 2 {
		return usage
	}
	if args[0] == "join" && len(args) == 5 {
		c, err := dialIRC(args[2], args[3], args[4])
		if err != nil {
			return err
		}
		s.irc[args[1]] = c
		return c.await("the names of "+c.channel, regexp.MustCompile(` 366 `))
	}
	c := s.irc[args[1]]
	if c == nil {
		return fmt.Errorf("no IRC client %q", args[1])
	}
	switch {
	case args[0] == "say" && len(args) == 3:
		return c.write("PRIVMSG " + c.channel + " :" + args[2])
	case args[0] == "leave" && len(args) == 2:
		return c.close()
	case args[0] == "await" && len(args) == 3:
		want, err := regexp.Compile(args[2])
		if err != nil {
			return usageError(err.Error())
		}
		err = c.await(args[2], want)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, s.logs())
		}
		return nil
	case args[0] == "count" && len(args) == 4:
		return c.count(ts, args[2], args[3])
	}
	return usage
}

func dialIRC(port, nick, channel string) (*ircClient, error) {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &ircClient{conn: conn, channel: channel, done: make(chan struct{})}
	go c.read()
	if err := c.write("NICK " + nick + "\r\nUSER " + nick + " 0 * :a person"); err != nil {
		return nil, err
	}
	if err := c.await("the welcome", regexp.MustCompile(` 001 `)); err != nil {
		return nil, err
	}
	return c, c.write("JOIN " + channel)
}

func (c *ircClient) read() {
	defer close(c.done)
	for s := bufio.NewScanner(c.conn); s.Scan(); {
		line := s.Text()
		if rest, ok := strings.CutPrefix(line, "PING "); ok {
			_ = c.write("PONG " + rest) // a broken connection ends the loop
			continue
		}
		c.mu.Lock()
		c.lines = append(c.lines, line)
		c.mu.Unlock()
	}
}

func (c *ircClient) write(line string) error {
	_, err := c.conn.Write([]byte(line + "\r\n"))
	return err
}

func (c *ircClient) close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

func (c *ircClient) matching(want *regexp.Regexp) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range c.lines {
		if want.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

func (c *ircClient) await(what string, want *regexp.Regexp) error {
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	return launch.Await(ctx, what, func(context.Context) error {
		if len(c.matching(want)) == 0 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return fmt.Errorf("the channel saw:\n%s", strings.Join(c.lines, "\n"))
		}
		return nil
	})
}

// count wants exactly n lines that match.
func (c *ircClient) count(ts *testscript.TestScript, number, pattern string) error {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return usageError(err.Error())
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return usageError(err.Error())
	}
	found := c.matching(want)
	if len(found) != n {
		return fmt.Errorf("%d lines match %s, want %d:\n%s", len(found), pattern, n, strings.Join(found, "\n"))
	}
	return os.WriteFile(filepath.Join(ts.Getenv("WORK"), "irc.txt"), []byte(strings.Join(found, "\n")+"\n"), 0o600)
}
