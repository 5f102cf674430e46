package acceptance

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/ircd"
)

// cmdIRCd runs real IRC servers: ircd inspircd|ngircd NAME puts the port into
// $NAME_PORT; an InspIRCd has linked services, in which accounts are registered,
// and speaks TLS on $NAME_TLS_PORT with a certificate that $NAME_CA holds.
func cmdIRCd(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("ircd inspircd|ngircd NAME | ircd stop|start NAME | ircd register NAME ACCOUNT PASSWORD")
	if len(args) < 2 {
		return usage
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	if args[0] == "inspircd" || args[0] == "ngircd" {
		return s.startIRCd(ctx, ts, args[0], args[1])
	}
	server := s.ircds[args[1]]
	switch {
	case server == nil:
		return fmt.Errorf("no IRC server %q", args[1])
	case args[0] == "stop":
		return server.Stop()
	case args[0] == "start":
		return server.Start(ctx)
	case args[0] == "register" && len(args) == 4:
		return server.Register(ctx, args[2], args[3])
	}
	return usage
}

func (s *stage) startIRCd(ctx context.Context, ts *testscript.TestScript, program, name string) error {
	dir := filepath.Join(s.dir, "ircd-"+name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	if program == "inspircd" {
		s.ircds[name], err = ircd.StartInspIRCd(ctx, dir, true)
	} else {
		s.ircds[name], err = ircd.StartNgIRCd(ctx, dir)
	}
	if err != nil {
		return err
	}
	for suffix, address := range map[string]string{"_PORT": s.ircds[name].Address, "_TLS_PORT": s.ircds[name].TLSAddress} {
		if _, port, err := net.SplitHostPort(address); err == nil {
			ts.Setenv(name+suffix, port)
		}
	}
	ts.Setenv(name+"_CA", s.ircds[name].CAFile)
	return nil
}

// cmdIRC is a person's client: irc join NAME PORT NICK CHANNEL, irc say NAME
// TEXT, irc await NAME REGEXP, irc count NAME N REGEXP, irc leave NAME. Lines
// are matched as "nick: text".
func cmdIRC(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("irc join NAME PORT NICK CHANNEL | irc say|await NAME TEXT | irc count NAME N REGEXP | irc leave NAME")
	if len(args) < 2 {
		return usage
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	if args[0] == "join" && len(args) == 5 {
		c, err := ircd.Connect(ctx, "127.0.0.1:"+args[2], args[3])
		if err != nil {
			return err
		}
		s.people[args[1]] = &person{c, args[4]}
		return c.Join(ctx, args[4])
	}
	p := s.people[args[1]]
	switch {
	case p == nil:
		return fmt.Errorf("no IRC client %q", args[1])
	case args[0] == "say" && len(args) == 3:
		return p.Send("PRIVMSG " + p.channel + " :" + args[2])
	case args[0] == "leave":
		p.Close()
		delete(s.people, args[1])
		return nil
	case args[0] == "await" && len(args) == 3:
		return s.awaitLine(ctx, p, args[2])
	case args[0] == "count" && len(args) == 4:
		return p.count(ts, args[2], args[3])
	}
	return usage
}

// person sits in a channel.
type person struct {
	*ircd.Client
	channel string
}

func (p *person) matching(want *regexp.Regexp) (found []string) {
	for _, said := range p.Heard(p.channel) {
		if line := said.From + ": " + said.Text; want.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

func (s *stage) awaitLine(ctx context.Context, p *person, pattern string) error {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return usageError(err.Error())
	}
	began := time.Now()
	err = p.Await(ctx, pattern, func([]string) bool { return len(p.matching(want)) > 0 })
	if err != nil {
		return fmt.Errorf("no line in %s matches %s after %s: %w\n%s\n%s", p.channel, pattern, time.Since(began).Round(time.Second), err,
			strings.Join(p.matching(regexp.MustCompile("")), "\n"), s.logs())
	}
	return nil
}

// count wants exactly n lines that match, and shows them.
func (p *person) count(ts *testscript.TestScript, number, pattern string) error {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return usageError(err.Error())
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return usageError(err.Error())
	}
	found := p.matching(want)
	ts.Logf("%s", strings.Join(found, "\n"))
	if len(found) != n {
		return fmt.Errorf("%d lines match %s, want %d", len(found), pattern, n)
	}
	return nil
}
