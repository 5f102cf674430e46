package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
)

// place is an IRC server, and what was heard in the channel on it.
type place interface {
	// network is what Collie calls it, and the receiver that is told there.
	network() string
	address() string
	heard() []ircd.Said
	await(ctx context.Context, what string, holds func() bool) error
	// slow is how long a line may have been heard and not yet been confirmed.
	slow() time.Duration
	joined() bool // Collie is in the channel

	down() error // the server goes away
	up(ctx context.Context) error
	close() error
}

// scripted is our own server, which misbehaves in ways that real ones seldom do.
type scripted struct {
	*ircd.Server
	listener net.Listener
}

func newScripted() (*scripted, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &scripted{ircd.New(ircd.Options{Caps: ircd.Modern()}), l}
	s.Listen(l)
	return s, nil
}

func (s *scripted) network() string     { return "scripted" }
func (s *scripted) address() string     { return s.listener.Addr().String() }
func (s *scripted) heard() []ircd.Said  { return s.Said(channel) }
func (s *scripted) slow() time.Duration { return 3 * time.Second }
func (s *scripted) joined() bool        { return s.In(channel, nick) || s.In(channel, nick+"_") }

func (s *scripted) await(ctx context.Context, what string, holds func() bool) error {
	return s.Await(ctx, what, holds)
}

func (s *scripted) down() error {
	s.Down()
	return nil
}

func (s *scripted) up(context.Context) error {
	s.Up()
	return nil
}

func (s *scripted) close() error {
	err := s.listener.Close()
	s.Server.Close() //nolint:staticcheck // the server, not the place
	return err
}

// genuine is a server of the distribution. Collie reaches it through a relay that
// can break; a person sits in the channel, and is its operator.
type genuine struct {
	name     string
	services bool
	wait     time.Duration
	server   *ircd.Real
	relay    *relay
	person   *ircd.Client
	before   []ircd.Said // heard by those who left
}

// startReal starts an InspIRCd with services, or an ngIRCd.
func startReal(ctx context.Context, program, dir string) (r *genuine, err error) {
	dir = filepath.Join(dir, program)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	r = &genuine{name: program}
	if program == inspircd {
		r.services, r.wait = true, 5*time.Second
		r.server, err = ircd.StartInspIRCd(ctx, dir, true)
	} else {
		// It reads slowly who says much, and with it the PING that confirms.
		r.wait = 20 * time.Second
		r.server, err = ircd.StartNgIRCd(ctx, dir)
	}
	if err != nil {
		return nil, err
	}
	if r.relay, err = newRelay(r.server.Address); err != nil {
		return nil, errors.Join(err, r.server.Close())
	}
	if err := r.enter(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// enter registers Collie's account, and has the person come in before Collie:
// who comes first is the operator.
func (r *genuine) enter(ctx context.Context) (err error) {
	if r.services {
		if err := r.server.Register(ctx, nick, password); err != nil {
			return err
		}
	}
	if r.person, err = ircd.Connect(ctx, r.server.Address, "ann"); err != nil {
		return err
	}
	return r.person.Join(ctx, channel)
}

func (r *genuine) network() string     { return r.name }
func (r *genuine) address() string     { return r.relay.address() }
func (r *genuine) slow() time.Duration { return r.wait }

func (r *genuine) heard() []ircd.Said {
	all := slices.Clone(r.before)
	if r.person != nil {
		all = append(all, r.person.Heard(channel)...)
	}
	return slices.DeleteFunc(all, func(s ircd.Said) bool { return s.From != nick && s.From != nick+"_" })
}

func (r *genuine) await(ctx context.Context, what string, holds func() bool) error {
	return r.person.Await(ctx, what, func([]string) bool { return holds() })
}

// joined reports whether Collie came back after it was last seen to leave.
func (r *genuine) joined() bool {
	in := r.person.In(channel)
	return slices.Contains(in, nick) || slices.Contains(in, nick+"_")
}

// down kills the server, with its services.
func (r *genuine) down() error {
	r.relay.refuse(true)
	r.relay.reset()
	if r.person != nil {
		r.before = append(r.before, r.person.Heard(channel)...)
		r.person.Close()
		r.person = nil
	}
	return r.server.Stop()
}

// up starts it again; Collie is let in after the person.
func (r *genuine) up(ctx context.Context) error {
	err := errors.Join(r.server.Start(ctx), r.enter(ctx))
	r.relay.refuse(false)
	return err
}

func (r *genuine) close() error {
	if r.person != nil {
		r.person.Close()
	}
	return errors.Join(r.relay.close(), r.server.Close())
}
