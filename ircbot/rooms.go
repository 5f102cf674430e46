package ircbot

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/ircbot/turn"
	"github.com/colliehq/collie/ircbot/wire"
	"github.com/colliehq/collie/retry"
)

// room is a channel that we are to be in.
type room struct {
	name   string
	conf   Channel
	in     bool
	joined time.Time // by the bot's clock: what was accepted before waited for us
	since  time.Time
	asked  time.Time // when we asked to join; zero if no answer is due
	due    time.Time // when we ask next; zero: not
	failed int
	hold   time.Time // the server refused what we said
	holds  int
	why    string // why we are not in
}

const (
	joinWait    = 30 * time.Second
	feltHome    = 10 * time.Minute // after which a kick is a new story
	rejoinFirst = 5 * time.Second
	rejoinLast  = 10 * time.Minute
)

// backoff is how long to wait after a channel threw us out or refused us.
func backoff(failed int) time.Duration {
	return retry.Policy{Base: rejoinFirst, Max: rejoinLast, Jitter: 0.3}.Delay(failed, rand.Float64())
}

// reconfigure brings the rooms in line with the configuration.
func (s *session) reconfigure() {
	s.conf = *s.n.conf.Load()
	s.bucket.Burst, s.bucket.Every = s.conf.Rate.Burst, s.conf.Rate.Every
	want := map[string]Channel{}
	maps.Copy(want, s.conf.Channels)
	if name := s.conf.HeartbeatChannel; name != "" {
		if _, has := want[name]; !has {
			want[name] = Channel{}
		}
	}
	for name, r := range s.rooms {
		if _, stays := want[name]; !stays {
			if r.in {
				s.control = append(s.control, wire.New("PART", name, "no longer told here"))
			}
			delete(s.rooms, name)
		}
	}
	for name, c := range want {
		if r := s.rooms[name]; r != nil {
			r.conf = c
			continue
		}
		s.rooms[name] = &room{name: name, conf: c, due: time.Now(), why: "not yet joined"}
	}
}

// room finds one of ours by the name that the server uses; nil if it is none.
func (s *session) room(name string) *room {
	for _, r := range s.rooms {
		if s.same(r.name, name) {
			return r
		}
	}
	return nil
}

// keepRooms asks to join where it is time to.
func (s *session) keepRooms(now time.Time) {
	for _, r := range s.rooms {
		if !r.in && !r.asked.IsZero() && now.Sub(r.asked) > joinWait {
			s.joinFailed(r.name, joinTimeout, wire.Message{}, now)
		}
		if r.in || r.due.IsZero() || r.due.After(now) {
			continue
		}
		join := wire.New("JOIN", r.name)
		if r.conf.KeyFile != "" {
			key, err := secret.Read(r.conf.KeyFile)
			if err != nil {
				s.n.log.Warn("channel not joined", "channel", r.name, "err", err)
				s.joinFailed(r.name, joinOther, wire.Message{}, now)
				continue
			}
			join.Params = append(join.Params, wire.Word(key.Reveal()))
		}
		r.asked, r.due = now, now.Add(joinWait+time.Second)
		s.control = append(s.control, join)
	}
}

func (s *session) joined(name string, now time.Time) {
	r := s.room(name)
	if r == nil {
		return
	}
	r.in, r.joined, r.since, r.asked, r.due, r.hold, r.why = true, s.b.now(), now, time.Time{}, time.Time{}, time.Time{}, ""
	s.n.log.Info("channel joined", "channel", r.name)
	s.countRooms()
}

// left comes when we are out of a channel: what was said there and is not
// confirmed is said again.
func (s *session) left(ctx context.Context, name, why string, now time.Time) {
	r := s.room(name)
	if r == nil {
		return
	}
	if now.Sub(r.since) > feltHome {
		r.failed = 0
	}
	r.failed++
	r.in, r.why, r.asked, r.due = false, why, time.Time{}, now.Add(backoff(r.failed))
	s.countRooms()
	s.requeue(ctx, s.unconfirmed(func(u *utterance) bool { return u.line.Channel == r.name }))
}

func (s *session) joinFailed(name, reason string, m wire.Message, now time.Time) {
	r := s.room(name)
	if r == nil || r.in {
		return
	}
	r.failed++
	wait := backoff(r.failed)
	r.asked, r.due, r.why = time.Time{}, now.Add(wait), reason
	s.b.metrics.joinFails.WithLabelValues(s.n.name, reason).Inc()
	s.n.log.Warn("channel not joined", "channel", r.name, "reason", reason, "server_says", wire.Clean(m.Last()), "again_in", wait.Round(time.Second).String())
}

// invited goes where we are wanted and want to be.
func (s *session) invited(name string, now time.Time) {
	if r := s.room(name); r != nil && !r.in {
		r.due, r.asked = now, time.Time{}
	}
}

func (s *session) countRooms() {
	n := 0
	for _, r := range s.rooms {
		if r.in {
			n++
		}
	}
	s.b.metrics.joined.WithLabelValues(s.n.name).Set(float64(n))
}

// open are the channels in which something can be said now.
func (s *session) open(now time.Time) map[string]turn.Channel {
	open := map[string]turn.Channel{toSelf: {Joined: s.registered}}
	for name, r := range s.rooms {
		if r.in && !r.hold.After(now) {
			open[name] = turn.Channel{Joined: r.joined}
		}
	}
	return open
}
