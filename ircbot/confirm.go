package ircbot

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/wire"
)

// How a line was confirmed.
const (
	byLabel   = "label"   // an echo that carries our label
	byEcho    = "echo"    // an echo of the same text
	byBarrier = "barrier" // the answer to a PING that was sent after it
)

// mark is a PING: when it is answered, the server has read all that was sent
// before.
type mark struct {
	seq uint64
	at  time.Time
}

const markPrefix = "collie-"

func (s *session) ping(now time.Time) {
	s.seq++
	s.marks = append(s.marks, mark{s.seq, now})
	s.send(wire.New("PING", markPrefix+strconv.FormatUint(s.seq, 10)))
}

// markBatch sends a PING after what was said, where no echo would tell that it
// arrived; and where an echo is overdue. One is on its way at a time, and
// nothing is said again before its answer.
func (s *session) markBatch() {
	if len(s.marks) > 0 || s.registered.IsZero() {
		return
	}
	now := time.Now()
	for _, u := range s.flight {
		for _, p := range u.parts[:u.next] {
			if !p.confirmed && (!s.link.Has("echo-message") || now.Sub(p.at) >= echoWait) {
				s.ping(now)
				return
			}
		}
	}
}

// pong confirms what was said before the PING.
func (s *session) pong(token string, now time.Time) {
	text, ours := strings.CutPrefix(token, markPrefix)
	seq, err := strconv.ParseUint(text, 10, 64)
	if !ours || err != nil {
		return
	}
	for len(s.marks) > 0 && s.marks[0].seq <= seq {
		if s.marks[0].seq == seq {
			s.lag(now, now.Sub(s.marks[0].at))
		}
		s.marks = s.marks[1:]
	}
	echoes := s.link.Has("echo-message")
	for _, u := range s.flight {
		for i := range u.parts[:u.next] {
			p := &u.parts[i]
			if p.confirmed || p.seq > seq {
				continue
			}
			if echoes {
				s.b.metrics.missing.WithLabelValues(s.n.name).Inc()
			}
			u.confirm(p, byBarrier)
		}
	}
}

func (u *utterance) confirm(p *part, method string) {
	p.confirmed = true
	u.method = method
}

func (s *session) lag(now time.Time, lag time.Duration) {
	s.b.metrics.lag.WithLabelValues(s.n.name).Set(lag.Seconds())
	s.bucket.Lag(now, lag, quickLag, slowLag)
}

// labelled confirms the part whose label an echo, or an ACK, carries.
func (s *session) labelled(m wire.Message, now time.Time) {
	label := s.labelOf(m)
	for _, u := range s.flight {
		for i := range u.parts[:u.next] {
			p := &u.parts[i]
			if p.label != label || p.confirmed {
				continue
			}
			if m.Is("PRIVMSG", "NOTICE") {
				s.learn(wire.ParseMask(m.Source))
				s.compare(u, p, m.Last())
			}
			s.lag(now, now.Sub(p.at))
			u.confirm(p, byLabel)
			return
		}
	}
}

// echoed confirms the oldest part that an echo without label repeats.
func (s *session) echoed(m wire.Message, now time.Time) {
	text := m.Last()
	for _, u := range s.flight {
		if !s.same(u.target, m.Param(0)) {
			continue
		}
		for i := range u.parts[:u.next] {
			p := &u.parts[i]
			begins := len(text) >= wire.MinText && strings.HasPrefix(p.text, text)
			if p.confirmed || p.text != text && !begins {
				continue
			}
			s.compare(u, p, text)
			s.lag(now, now.Sub(p.at))
			u.confirm(p, byEcho)
			return
		}
	}
}

// compare looks whether the server cut what we said. It is said again then, in
// pieces that fit.
func (s *session) compare(u *utterance, p *part, echo string) {
	if len(echo) >= len(p.text) || !strings.HasPrefix(p.text, echo) {
		return // whole, or changed by the server's own rules, such as without colours
	}
	s.b.metrics.truncated.WithLabelValues(s.n.name).Inc()
	if limit := max(wire.MinText, len(echo)); s.limit == 0 || limit < s.limit {
		s.limit = limit
	}
	u.cut = u.line.Tries == 1
	s.n.log.Warn("the server cut a line", "channel", u.target, "sent_bytes", len(p.text), "arrived_bytes", len(echo))
}

// settle writes down what arrived. What cannot be written is tried again.
func (s *session) settle(ctx context.Context) {
	if s.hold.After(time.Now()) {
		return
	}
	for i := 0; i < len(s.flight); {
		u := s.flight[i]
		if !u.said() || !u.arrived() {
			i++
			continue
		}
		if u.cut {
			s.flight = slices.Delete(s.flight, i, i+1)
			s.requeue(ctx, []*utterance{u})
			continue
		}
		if err := s.b.confirmed(ctx, u.line, u.method); err != nil {
			s.n.log.Warn("a line that arrived is not yet written down as such", "err", err)
			s.hold = time.Now().Add(storeWait)
			return
		}
		if r := s.rooms[u.line.Channel]; r != nil {
			r.holds = 0
		}
		s.flight = slices.Delete(s.flight, i, i+1)
	}
}

// unconfirmed takes what is on its way and not confirmed out of flight.
func (s *session) unconfirmed(want func(*utterance) bool) (out []*utterance) {
	if s.talk != nil && s.talk.next == 0 && want(s.talk) {
		out = append(out, s.talk) // written down as sent, but not begun
	}
	if s.talk != nil && want(s.talk) {
		s.talk = nil
	}
	s.flight = slices.DeleteFunc(s.flight, func(u *utterance) bool {
		if done := u.said() && u.arrived(); want(u) && !done {
			out = append(out, u)
			return true
		}
		return false
	})
	return out
}

// requeue has lines said again.
func (s *session) requeue(ctx context.Context, all []*utterance) {
	if len(all) == 0 {
		return
	}
	lines := make([]spool.Line, len(all))
	for i, u := range all {
		lines[i] = u.line
	}
	for {
		err := s.b.unconfirmed(context.WithoutCancel(ctx), lines)
		if err == nil {
			return
		}
		// In memory they count as sent until they can be queued again.
		s.n.log.Warn("lines that are to be said again wait for the disk", "lines", len(lines), "err", err)
		if !sleep(ctx, storeWait) {
			return
		}
	}
}

// refusedLabel takes up an error that carries the label of a line.
func (s *session) refusedLabel(ctx context.Context, label string, m wire.Message, now time.Time) {
	s.refuse(ctx, m, now, func(u *utterance) bool {
		return slices.ContainsFunc(u.parts[:u.next], func(p part) bool { return p.label == label })
	})
}

// refusedTarget takes up an error without label. Nobody knows which line it is
// about: all that are on their way to the target are said again.
func (s *session) refusedTarget(ctx context.Context, target string, m wire.Message, now time.Time) {
	s.refuse(ctx, m, now, func(u *utterance) bool { return s.same(u.target, target) })
}

func (s *session) refuse(ctx context.Context, m wire.Message, now time.Time, want func(*utterance) bool) {
	refused := s.unconfirmed(want)
	if len(refused) == 0 {
		return
	}
	s.b.metrics.refused.WithLabelValues(s.n.name).Add(float64(len(refused)))
	channel := refused[0].line.Channel
	if r := s.rooms[channel]; r != nil {
		if m.Is("403", "442") {
			r.in, r.due, r.why = false, now.Add(backoff(1)), "not in the channel"
		}
		r.holds++
		r.hold = now.Add(backoff(r.holds + 2))
		r.why = fmt.Sprintf("the server refuses what we say: %s", wire.Clean(m.Last()))
	}
	s.n.log.Warn("the server refused a line, it is said again later", "channel", channel, "code", wire.Clean(m.Command), "server_says", wire.Clean(m.Last()))
	s.requeue(ctx, refused)
}
