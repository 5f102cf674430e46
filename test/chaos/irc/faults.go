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

// kill ends Collie between the acceptance of alerts and their delivery.
func (t *trial) kill(ctx context.Context, post func() error) error {
	return t.during(ctx, post, func() error {
		if err := t.collie.kill(); err != nil {
			return err
		}
		return t.collie.start(ctx)
	})
}

func (t *trial) reset(ctx context.Context, post func() error) error {
	return t.during(ctx, post, func() error {
		t.server.Drop()
		return nil
	})
}

func (t *trial) kick(ctx context.Context, post func() error) error {
	return t.during(ctx, post, func() error {
		t.server.Kick(channel, nick, "chaos")
		t.server.Kick(channel, nick+"_", "chaos")
		return nil
	})
}

// nickTaken has Collie come back while another has its nick.
func (t *trial) nickTaken(ctx context.Context, post func() error) error {
	defer t.server.Set(func(o *ircd.Options) { o.Taken = nil })
	return t.during(ctx, post, func() error {
		t.server.Set(func(o *ircd.Options) { o.Taken = []string{nick} })
		t.server.Drop()
		return t.await(ctx, "another nick", func() bool { return t.server.In(channel, nick+"_") })
	})
}

// blankLines come between all others.
func (t *trial) blankLines(ctx context.Context, post func() error) error {
	defer t.server.Set(func(o *ircd.Options) { o.Blank = false })
	return t.during(ctx, post, func() error {
		t.server.Set(func(o *ircd.Options) { o.Blank = true })
		return nil
	})
}

// refused has Collie come back to a server that refuses what it offers.
func (t *trial) refused(ctx context.Context, post func() error) error {
	defer t.server.Set(func(o *ircd.Options) { o.Nak = nil })
	return t.during(ctx, post, func() error {
		refuse := [][]string{{"echo-message"}, {"labeled-response"}, ircd.Modern()}[t.random.IntN(3)]
		t.server.Set(func(o *ircd.Options) { o.Nak = refuse })
		t.server.Drop()
		return t.await(ctx, "Collie to come back", t.joined)
	})
}

// serverDown has alerts fire and end while the server is away.
func (t *trial) serverDown(ctx context.Context, post func() error) error {
	from := time.Now()
	t.server.Down()
	if err := post(); err != nil {
		return err
	}
	if err := pauseFor(ctx, time.Until(from.Add(t.down))); err != nil {
		return err
	}
	t.server.Up()
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

func (t *trial) joined() bool {
	return t.server.In(channel, nick) || t.server.In(channel, nick+"_")
}

func (t *trial) await(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.server.Await(ctx, what, holds)
}
