package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/colliehq/collie/internal/testkit/ircd"
)

// diskMegabytes is the size of the file system that is filled.
const diskMegabytes = 192

// fullFor is how long it stays full.
const fullFor = 6 * time.Second

// step is one fault, while alerts fire and are resolved.
type step struct {
	name   string
	places []place
	run    func(ctx context.Context, post func() error) error
}

// breaking is a step that breaks something at a random moment while alerts are
// posted.
func (t *trial) breaking(name string, p place, breaks func(context.Context) error) step {
	return step{p.network() + ", " + name, []place{p}, func(ctx context.Context, post func() error) error {
		return t.during(ctx, post, func() error { return breaks(ctx) })
	}}
}

// during posts alerts and, at a random moment meanwhile, breaks something.
func (t *trial) during(ctx context.Context, post func() error, breaks func() error) error {
	var g errgroup.Group
	g.Go(post)
	g.Go(func() error {
		posting := time.Duration(len(t.ledger.now)) * gap / 2
		if err := pauseFor(ctx, time.Duration(t.random.Int64N(int64(posting+gap)))); err != nil {
			return err
		}
		from := time.Now()
		err := breaks()
		t.disruptions = append(t.disruptions, disruption{from, time.Now()})
		return err
	})
	return g.Wait()
}

// round is one round of faults on a server.
func (t *trial) round(p place) []step {
	kill := t.breaking("kill", p, t.kill)
	if r, ok := p.(*genuine); ok {
		return []step{kill,
			t.breaking("reset", p, func(context.Context) error { r.relay.reset(); return nil }),
			t.breaking("kick", p, r.kick),
			t.breaking("nick taken", p, func(ctx context.Context) error { return t.nickTakenOn(ctx, r) }),
			t.breaking("server killed", p, func(ctx context.Context) error { return errors.Join(r.down(), r.up(ctx)) }),
		}
	}
	s, _ := p.(*scripted)
	return []step{kill,
		t.breaking("reset", p, func(context.Context) error { s.Drop(); return nil }),
		t.breaking("kick", p, func(context.Context) error { s.kick(); return nil }),
		t.afterwards(t.breaking("nick taken", p, func(ctx context.Context) error { return t.nickTaken(ctx, s) }), func() {
			s.Set(func(o *ircd.Options) { o.Taken = nil })
		}),
		t.afterwards(t.breaking("blank lines", p, s.blankLines), func() {
			s.Set(func(o *ircd.Options) { o.Blank = false })
		}),
		t.afterwards(t.breaking("capability refused", p, func(ctx context.Context) error { return t.refused(ctx, s) }), func() {
			s.Set(func(o *ircd.Options) { o.Nak = nil })
		}),
	}
}

// afterwards mends what a step broke once its alerts are posted.
func (*trial) afterwards(s step, mend func()) step {
	run := s.run
	s.run = func(ctx context.Context, post func() error) error {
		defer mend()
		return run(ctx, post)
	}
	return s
}

// kill ends Collie between the acceptance of alerts and their delivery.
func (t *trial) kill(ctx context.Context) error {
	if err := t.collie.kill(); err != nil {
		return err
	}
	return t.collie.start(ctx)
}

func (s *scripted) kick() {
	s.Kick(channel, nick, "chaos")
	s.Kick(channel, nick+"_", "chaos")
}

// kick is what an operator of the channel may do.
func (r *genuine) kick(context.Context) error {
	return errors.Join(r.person.Send("KICK "+channel+" "+nick+" :chaos"), r.person.Send("KICK "+channel+" "+nick+"_ :chaos"))
}

// nickTaken has Collie come back while another has its nick.
func (t *trial) nickTaken(ctx context.Context, s *scripted) error {
	s.Set(func(o *ircd.Options) { o.Taken = []string{nick} })
	s.Drop()
	return await(ctx, s, "another nick", func() bool { return s.In(channel, nick+"_") })
}

// nickTakenOn has another come before Collie is back. Services may give Collie
// its nick again.
func (t *trial) nickTakenOn(ctx context.Context, r *genuine) error {
	r.relay.refuse(true)
	r.relay.reset()
	err := await(ctx, r, "Collie to be gone", func() bool { return !r.joined() })
	if err != nil {
		return err
	}
	thief, err := ircd.Connect(ctx, r.server.Address, nick)
	r.relay.refuse(false)
	if err != nil {
		return err
	}
	defer thief.Close()
	return await(ctx, r, "Collie to come back", r.joined)
}

// blankLines come between all others.
func (s *scripted) blankLines(context.Context) error {
	s.Set(func(o *ircd.Options) { o.Blank = true })
	return nil
}

// refused has Collie come back to a server that refuses what it offers.
func (t *trial) refused(ctx context.Context, s *scripted) error {
	refuse := [][]string{{"echo-message"}, {"labeled-response"}, ircd.Modern()}[t.random.IntN(3)]
	s.Set(func(o *ircd.Options) { o.Nak = refuse })
	s.Drop()
	return await(ctx, s, "Collie to come back", s.joined)
}

// serversDown has alerts fire and end while all servers are away.
func (t *trial) serversDown(ctx context.Context, post func() error) error {
	from := time.Now()
	for _, p := range t.places {
		if err := p.down(); err != nil {
			return err
		}
	}
	if err := post(); err != nil {
		return err
	}
	if err := pauseFor(ctx, time.Until(from.Add(t.down))); err != nil {
		return err
	}
	for _, p := range t.places {
		if err := p.up(ctx); err != nil {
			return err
		}
	}
	t.disruptions = append(t.disruptions, disruption{from, time.Now()})
	return nil
}

// fullDisk has alerts fire while the disk is full; it is freed later.
func (t *trial) fullDisk(ctx context.Context, post func() error) error {
	from := time.Now()
	if err := t.disk.Fill(); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(post)
	g.Go(func() error { return errors.Join(t.keepFull(ctx, from.Add(fullFor)), t.disk.Free()) })
	err := g.Wait()
	t.disruptions = append(t.disruptions, disruption{from, time.Now()})
	return err
}

// keepFull fills what becomes free: Collie gives its ballast up for the queue.
func (t *trial) keepFull(ctx context.Context, until time.Time) error {
	for time.Now().Before(until) {
		if err := t.disk.Fill(); err != nil {
			return err
		}
		if err := pauseFor(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// await waits for a minute: what lasts longer hangs.
func await(ctx context.Context, p place, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return p.await(ctx, what, holds)
}
