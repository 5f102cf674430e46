package ircbot

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/ircbot/wire"
)

// ears tell, for the reader, what the session has a use for. A storm of JOINs
// ends here.
type ears struct{ nick string }

// wants reports whether a message is for the session.
func (e *ears) wants(m wire.Message) bool {
	own := strings.EqualFold(wire.ParseMask(m.Source).Nick, e.nick)
	switch strings.ToUpper(m.Command) {
	case "001":
		e.nick = m.Param(0)
	case "NICK":
		if own {
			e.nick = m.Param(0)
		}
		return own
	case "JOIN", "PART", "CHGHOST":
		return own
	case "KICK":
		return strings.EqualFold(m.Param(1), e.nick)
	case "QUIT", "MODE", "TOPIC", "AWAY", "ACCOUNT", "PING", "CAP", "AUTHENTICATE", "ERROR", "TAGMSG",
		"353", "366", "332", "333", "329", "324", "352", "354", "315", "372", "375", "251", "252", "253", "254", "255", "265", "266":
		return false
	}
	return true
}

// observe is told each message by the reader.
func (s *session) observe(m wire.Message) {
	if !s.ears.wants(m) {
		return
	}
	if m.Is("PRIVMSG", "NOTICE") && len(s.heard) > heardLimit/2 && m.Tags["label"] == "" && m.Tags["batch"] == "" &&
		!strings.EqualFold(wire.ParseMask(m.Source).Nick, s.ears.nick) {
		return // people talk faster than we can listen
	}
	select {
	case s.heard <- m:
	case <-s.gone:
	}
}

// hear takes up one message of the server.
func (s *session) hear(ctx context.Context, m wire.Message) {
	now := time.Now()
	s.lastHeard = now
	source := wire.ParseMask(m.Source)
	switch strings.ToUpper(m.Command) {
	case "001":
		s.welcome(m, now)
	case "005":
		s.isupport(m)
	case "396": // displayed host: <nick> <host or user@host>
		if host := m.Param(1); s.isSelf(m.Param(0)) {
			s.self.Host = host[strings.LastIndexByte(host, '@')+1:]
		}
	case "376", "422": // end of the message of the day
		s.settled(now)
	case "NICK":
		s.renamed(m.Param(0), now)
	case "CHGHOST":
		s.self.User, s.self.Host = m.Param(0), m.Param(1)
	case "JOIN":
		s.learn(source)
		s.joined(m.Param(0), now)
	case "PART":
		s.left(ctx, m.Param(0), "parted", now)
	case "KICK":
		s.n.log.Warn("kicked from a channel", "channel", m.Param(0), "by", wire.Clean(source.Nick), "why", wire.Clean(m.Param(2)))
		s.left(ctx, m.Param(0), "kicked", now)
	case "INVITE":
		s.invited(m.Param(1), now)
	case "PRIVMSG", "NOTICE":
		s.message(ctx, m, source, now)
	case "ACK":
		s.labelled(m, now)
	case "BATCH":
		s.batch(m, now)
	case "PONG":
		s.pong(m.Last(), now)
	case "731": // MONITOR: they went offline
		s.nickFree(now)
	default:
		s.numeric(ctx, m, now)
	}
}

func (s *session) isSelf(nick string) bool {
	return wire.Fold(s.mapping(), nick) == wire.Fold(s.mapping(), s.self.Nick)
}

func (s *session) mapping() string { return s.features["CASEMAPPING"] }

func (s *session) same(a, b string) bool {
	return wire.Fold(s.mapping(), a) == wire.Fold(s.mapping(), b)
}

// learn takes our own source as the server puts it in front of our lines.
func (s *session) learn(source wire.Mask) {
	if s.isSelf(source.Nick) && source.User != "" && source.Host != "" {
		s.self = source
	}
}

func (s *session) welcome(m wire.Message, now time.Time) {
	s.self.Nick = wire.Word(m.Param(0))
	s.registered = now
	s.n.log.Info("connected to IRC", "server", s.server, "nick", wire.Clean(s.self.Nick), "account", s.link.Authenticated())
	s.b.metrics.connected.WithLabelValues(s.n.name).Set(1)
	s.n.welcomed(s.server, s.b.now())
	s.reconfigure()
	s.nick.due = now.Add(nickFirst)
}

func (s *session) isupport(m wire.Message) {
	if len(m.Params) < 3 {
		return
	}
	for _, token := range m.Params[1 : len(m.Params)-1] {
		if name, off := strings.CutPrefix(token, "-"); off {
			delete(s.features, name)
			continue
		}
		name, value, _ := strings.Cut(token, "=")
		s.features[strings.ToUpper(name)] = value
	}
}

// settled comes once the server has told all about itself: we say that we are
// a bot, and look after our nick.
func (s *session) settled(now time.Time) {
	if mode := s.features["BOT"]; len(mode) == 1 && !s.nick.bot {
		s.nick.bot = true
		s.control = append(s.control, wire.New("MODE", s.self.Nick, "+"+mode))
	}
	s.huntNick(now)
}

// message is something said: our own echo, or a command.
func (s *session) message(ctx context.Context, m wire.Message, source wire.Mask, now time.Time) {
	switch {
	case m.Tags["label"] != "" || m.Tags["batch"] != "" && s.batches[m.Tags["batch"]] != "":
		s.labelled(m, now)
	case s.isSelf(source.Nick):
		s.learn(source)
		s.echoed(m, now)
	case m.Is("PRIVMSG"):
		s.spokenTo(ctx, m, source, now)
	}
}

// batch opens or closes a batch: all answers to a labelled line come in one, if
// there are several.
func (s *session) batch(m wire.Message, now time.Time) {
	ref := m.Param(0)
	if id, opens := strings.CutPrefix(ref, "+"); opens {
		if label := m.Tags["label"]; label != "" && len(s.batches) < maxFlight*4 {
			s.batches[id] = label
		}
		return
	}
	delete(s.batches, strings.TrimPrefix(ref, "-"))
	_ = now
}

// labelOf is the label of the line that a message answers.
func (s *session) labelOf(m wire.Message) string {
	if label := m.Tags["label"]; label != "" {
		return label
	}
	return s.batches[m.Tags["batch"]]
}

// numeric takes up errors: of joining, and of what we said.
func (s *session) numeric(ctx context.Context, m wire.Message, now time.Time) {
	code, err := strconv.Atoi(m.Command)
	if err != nil && !m.Is("FAIL") || err == nil && (code < 400 || code > 599) && m.Command != "263" {
		return
	}
	if label := s.labelOf(m); label != "" {
		s.refusedLabel(ctx, label, m, now)
		return
	}
	target := m.Param(1)
	if m.Command == "470" { // forwarded: we are elsewhere, where nobody asked for us
		s.joinFailed(target, joinOther, m, now)
		return
	}
	if r := s.room(target); r != nil && !r.in {
		s.joinFailed(target, joinReason(m.Command), m, now)
		return
	}
	switch m.Command {
	case "401", "403", "404", "442", "477", "531", "408":
		s.refusedTarget(ctx, target, m, now)
	}
}

func joinReason(code string) string {
	if reason := joinReasons[code]; reason != "" {
		return reason
	}
	return joinOther
}
