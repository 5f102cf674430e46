package ircbot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/colliehq/collie/ircbot/flood"
	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/turn"
	"github.com/colliehq/collie/ircbot/wire"
	"github.com/colliehq/collie/ircbot/words"
)

const maxParts = 3

// utterance is a line of the spool on its way: the parts in which it is said.
type utterance struct {
	line    spool.Line
	command string
	target  string
	parts   []part
	next    int       // part that is said next
	at      time.Time // when the first part was said
	method  string    // how the last part was confirmed; empty until then
	cut     bool      // the server cut a part
}

// part is one line on the wire.
type part struct {
	text      string
	label     string
	seq       uint64
	at        time.Time
	confirmed bool
}

// said reports whether all parts were.
func (u *utterance) said() bool { return u.next == len(u.parts) }

// arrived reports whether all parts are confirmed.
func (u *utterance) arrived() bool {
	for _, p := range u.parts {
		if !p.confirmed {
			return false
		}
	}
	return true
}

// speak says what the bucket allows: first what keeps us connected, then what
// was begun, then what is most urgent.
func (s *session) speak(ctx context.Context) {
	for s.bucket.Wait(time.Now()) == 0 {
		switch {
		case len(s.control) > 0:
			s.send(s.control[0])
			s.control = s.control[1:]
		case s.talk != nil:
			s.sayPart()
		case !s.sayNext(ctx):
			s.idle = true
			s.markBatch()
			return
		}
	}
	s.markBatch()
}

// eager reports whether there may be more to say than the bucket allowed.
func (s *session) eager() bool {
	return len(s.control) > 0 || s.talk != nil || len(s.replies) > 0 || !s.idle
}

func (s *session) send(m wire.Message) {
	s.bucket.Take(time.Now(), flood.Cost(len(m.String())+2))
	s.link.Send(m)
}

func (s *session) inFlight() (parts int) {
	for _, u := range s.flight {
		for _, p := range u.parts {
			if !p.confirmed {
				parts++
			}
		}
	}
	return parts
}

// sayNext begins the next utterance, or gives one answer. It reports whether
// anything was said.
func (s *session) sayNext(ctx context.Context) bool {
	now := time.Now()
	canSpeak := s.inFlight() < maxFlight && !s.hold.After(now) && s.b.spool.Waits(s.n.name)
	within := s.bucket.Within(now, soon)
	if canSpeak {
		open := s.b.spool.Open(s.n.name)
		rooms := s.open(now)
		if c, ok := s.turn.Next(open, rooms, within, spool.Critical); ok {
			return s.begin(ctx, c)
		}
		if len(s.replies) == 0 {
			if c, ok := s.turn.Next(open, rooms, within, spool.Reply, spool.Info, spool.Repeat); ok {
				return s.begin(ctx, c)
			}
		}
	}
	if len(s.replies) == 0 {
		return false
	}
	r := s.replies[0]
	s.replies = s.replies[1:]
	s.send(r.message())
	return true
}

// begin takes a choice into its parts. It is marked as sent before the first of
// them is written.
func (s *session) begin(ctx context.Context, c turn.Choice) bool {
	u := s.utterance(c)
	var err error
	if len(c.Lines) > 1 {
		u.line, err = s.b.spool.Fold(ctx, c.Lines, c.About)
	} else {
		u.line, err = s.b.spool.Send(ctx, c.Lines[0])
	}
	switch {
	case errors.Is(err, spool.ErrGone):
		return true // look again
	case err != nil:
		s.n.log.Warn("nothing is said while it cannot be written down", "err", err)
		s.hold = time.Now().Add(storeWait)
		return false
	}
	for i := range u.parts {
		u.parts[i].label = fmt.Sprintf("c%d.%d.%d", u.line.ID, u.line.Tries, i)
	}
	s.talk = u
	return true
}

// utterance words a choice for its channel.
func (s *session) utterance(c turn.Choice) *utterance {
	l := c.Lines[0]
	u := &utterance{command: "PRIVMSG", target: l.Channel}
	if r := s.rooms[l.Channel]; r != nil && r.conf.Notice {
		u.command = "NOTICE"
	}
	if l.Channel == toSelf {
		u.target = s.self.Nick
	}
	limit := wire.Budget(s.self, u.command, u.target)
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	if s.conf.Colors {
		limit -= words.ColourCost
	}
	room := limit
	if l.Lane == spool.Critical { // every critical one is named, as far as three lines go
		room = maxParts * (limit - len(" (3/3)")) * 9 / 10
	}
	mark := l.Mark()
	for _, text := range wire.Split(mark+c.About.Text(room-len(mark)), limit, maxParts, c.About.More) {
		u.parts = append(u.parts, part{text: text})
	}
	if s.conf.Colors {
		u.parts[0].text = c.About.Coloured(u.parts[0].text)
	}
	return u
}

// sayPart says the next part of what was begun.
func (s *session) sayPart() {
	u := s.talk
	now := time.Now()
	if u.next == 0 {
		u.at = now
		s.flight = append(s.flight, u)
	}
	p := &u.parts[u.next]
	u.next++
	s.seq++
	p.seq, p.at = s.seq, now
	m := wire.New(u.command, u.target, p.text)
	if s.link.Has("labeled-response") {
		m.Tags = map[string]string{"label": p.label}
	}
	s.send(m)
	if u.said() {
		s.talk = nil
	}
}
