package ircbot

import (
	"time"

	"github.com/colliehq/collie/ircbot/wire"
)

const (
	nickFirst = 20 * time.Second // for the ghost of our last connection to go
	nickEvery = time.Minute
)

// nickHunt is our way back to the nick that we want.
type nickHunt struct {
	due       time.Time
	monitored bool
	regained  bool // services were asked
	bot       bool // the server knows that we are a bot
}

func (s *session) hasNick() bool { return s.same(s.self.Nick, s.conf.Nick) }

// huntNick asks for our nick, once the server told what it can do.
func (s *session) huntNick(now time.Time) {
	if s.hasNick() {
		return
	}
	if _, can := s.features["MONITOR"]; can && !s.nick.monitored {
		s.nick.monitored = true
		s.control = append(s.control, wire.New("MONITOR", "+", s.conf.Nick))
	}
	if s.link.Authenticated() && !s.nick.regained {
		s.nick.regained = true // services end the ghost, if the nick is our account's
		s.control = append(s.control, wire.New("PRIVMSG", "NickServ", "REGAIN "+s.conf.Nick))
	}
	s.nick.due = now.Add(nickFirst)
}

// keepNick tries to get our nick back, now and then.
func (s *session) keepNick(now time.Time) {
	if s.nick.due.After(now) {
		return
	}
	s.nick.due = now.Add(nickEvery)
	if !s.hasNick() {
		s.control = append(s.control, wire.New("NICK", s.conf.Nick))
	}
}

// nickFree comes when the server says that the nick is free.
func (s *session) nickFree(now time.Time) {
	if !s.hasNick() {
		s.nick.due = now
	}
}

func (s *session) renamed(nick string, now time.Time) {
	s.self.Nick = nick
	if !s.hasNick() {
		s.nick.due = now.Add(nickFirst)
		return
	}
	s.n.log.Info("nick recovered", "nick", wire.Clean(nick))
	if s.nick.monitored {
		s.nick.monitored = false
		s.control = append(s.control, wire.New("MONITOR", "-", s.conf.Nick))
	}
}
