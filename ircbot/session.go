package ircbot

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/colliehq/collie/ircbot/flood"
	"github.com/colliehq/collie/ircbot/link"
	"github.com/colliehq/collie/ircbot/turn"
	"github.com/colliehq/collie/ircbot/wire"
)

const (
	heardLimit  = 1024             // messages of the server that wait for the session
	maxFlight   = 8                // lines that the server has not confirmed
	soon        = 5 * time.Second  // more lines than can be said in it are a storm
	echoWait    = 10 * time.Second // an echo that takes longer is asked for by a PING
	answerWait  = 60 * time.Second // a server that does not answer a PING for so long is gone
	quietWait   = 60 * time.Second // silence after which we ask whether the server is there
	storeWait   = time.Second      // after the disk refused
	goodbyeWait = 2 * time.Second
	quickLag    = time.Second
	slowLag     = 5 * time.Second
	stepWait    = 30 * time.Second // the longest the session sleeps
)

// session is one connection as the bot sees it. All its state belongs to the
// goroutine of run, which is the only one that writes; observe is called by the
// reader.
type session struct {
	n      *network
	b      *Bot
	conf   Network
	server string
	link   *link.Link

	heard   chan wire.Message
	gone    chan struct{} // closed when nobody hears any more
	once    sync.Once     // of gone
	ears    ears          // of the reader alone
	answers chan answer

	self       wire.Mask
	registered time.Time         // zero until the server let us in
	features   map[string]string // ISUPPORT
	limit      int               // bytes of text, where the server was seen to cut; 0 if not
	lastHeard  time.Time

	bucket  flood.Bucket
	turn    turn.Turn
	rooms   map[string]*room // by configured name
	control []wire.Message
	replies []reply
	talk    *utterance   // being said, part by part
	flight  []*utterance // said, not yet confirmed
	batches map[string]string
	marks   []mark    // PINGs that wait for their answer
	seq     uint64    // of parts and PINGs
	hold    time.Time // the disk refused
	idle    bool      // nothing can be said before something happens
	nick    nickHunt
	asked   *asked

	written, skipped int64
}

func newSession(n *network, conf Network, server string) *session {
	s := &session{
		n: n, b: n.b, conf: conf, server: server,
		heard: make(chan wire.Message, heardLimit), gone: make(chan struct{}), ears: ears{nick: conf.Nick}, answers: make(chan answer, maxQuestions),
		self: conf.mask(), features: map[string]string{}, rooms: map[string]*room{}, batches: map[string]string{},
		bucket: flood.Bucket{Burst: conf.Rate.Burst, Every: conf.Rate.Every},
		asked:  newAsked(),
	}
	s.turn.Kinds = s.bucket.Most(soon)
	return s
}

// run is the session's life: it hears, and says what it may, until the
// connection ends or ctx does.
func (s *session) run(ctx context.Context, ended <-chan error) error {
	wake := s.b.spool.Wake(s.n.name)
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		t.Reset(s.step(ctx))
		select {
		case <-ctx.Done():
			s.goodbye(ended)
			return ctx.Err()
		case err := <-ended:
			s.drain(ctx)
			return err
		case m := <-s.heard:
			s.hear(ctx, m)
		case a := <-s.answers:
			s.answered(a)
		case <-s.n.changed:
			s.reconfigure()
		case <-wake:
		case <-t.C:
		}
	}
}

// step says what may be said now, and returns when there may be more.
func (s *session) step(ctx context.Context) time.Duration {
	now := time.Now()
	s.settle(ctx)
	if !s.registered.IsZero() {
		s.keepRooms(now)
		s.keepNick(now)
		s.idle = false
		s.speak(ctx)
		s.keepAlive(time.Now())
	}
	s.measure()
	return s.pause(time.Now())
}

// pause is how long nothing is due.
func (s *session) pause(now time.Time) time.Duration {
	wait := stepWait
	sooner := func(d time.Duration) { wait = min(wait, max(d, time.Millisecond)) }
	if s.registered.IsZero() {
		return wait
	}
	if s.eager() {
		sooner(s.bucket.Wait(now))
	}
	if s.hold.After(now) {
		sooner(s.hold.Sub(now))
	}
	for _, r := range s.rooms {
		if !r.in && !r.due.IsZero() {
			sooner(r.due.Sub(now))
		}
		if r.hold.After(now) {
			sooner(r.hold.Sub(now))
		}
	}
	if len(s.flight) > 0 {
		sooner(s.flight[0].at.Add(echoWait).Sub(now))
	}
	sooner(s.nick.due.Sub(now))
	return wait
}

// goodbye says that we leave, and waits a little for the server to hear it.
func (s *session) goodbye(ended <-chan error) {
	if s.registered.IsZero() {
		s.link.Close(context.Canceled)
	} else {
		s.link.Send(wire.New("QUIT", "Collie was stopped"))
	}
	t := time.NewTimer(goodbyeWait)
	defer t.Stop()
	select {
	case <-ended: //nolint:errcheck // we leave anyway
		return
	case <-t.C:
	}
	s.deaf()
	s.link.Close(context.Canceled)
	<-ended //nolint:errcheck // we leave anyway
}

// deaf lets the reader go on without us.
func (s *session) deaf() { s.once.Do(func() { close(s.gone) }) }

// drain hears what came before the end.
func (s *session) drain(ctx context.Context) {
	for {
		select {
		case m := <-s.heard:
			s.hear(ctx, m)
		default:
			return
		}
	}
}

// finish queues again what nobody knows to have arrived.
func (s *session) finish(ctx context.Context) {
	s.deaf()
	s.asked.wait()
	s.settle(context.WithoutCancel(ctx))
	s.requeue(ctx, s.unconfirmed(func(*utterance) bool { return true }))
	s.b.metrics.connected.WithLabelValues(s.n.name).Set(0)
	s.b.metrics.joined.WithLabelValues(s.n.name).Set(0)
	s.measure()
}

// measure shows what has changed.
func (s *session) measure() {
	name := s.n.name
	written, skipped := s.link.Written(), s.link.Skipped()
	s.b.metrics.written.WithLabelValues(name).Add(float64(written - s.written))
	s.b.metrics.skipped.WithLabelValues(name).Add(float64(skipped - s.skipped))
	s.written, s.skipped = written, skipped
	s.n.show(s)
}

// keepAlive asks a silent server whether it is there, and ends the connection
// if it does not answer.
func (s *session) keepAlive(now time.Time) {
	if len(s.marks) > 0 {
		late := now.Sub(s.marks[0].at)
		if late > answerWait && now.Sub(s.lastHeard) > answerWait || late > 5*answerWait {
			s.link.Close(fmt.Errorf("connection to %s: no answer to a PING in %s", s.server, late.Round(time.Second)))
		}
		return
	}
	if now.Sub(s.lastHeard) > quietWait {
		s.ping(now)
	}
}
