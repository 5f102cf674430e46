package ircbot

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/ircbot/link"
	"github.com/colliehq/collie/ircbot/wire"
	"github.com/colliehq/collie/retry"
)

// network keeps one network connected. It has one goroutine that writes.
type network struct {
	b       *Bot
	name    string
	log     *slog.Logger
	conf    atomic.Pointer[Network]
	changed chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}

	mu    sync.Mutex
	state NetworkState
}

func (b *Bot) startNetwork(ctx context.Context, conf Network) *network {
	n := &network{b: b, name: conf.Name, log: b.log.With("network", conf.Name), changed: make(chan struct{}, 1), done: make(chan struct{})}
	n.conf.Store(&conf)
	n.state = NetworkState{Name: conf.Name}
	ctx, n.cancel = context.WithCancel(ctx)
	go func() {
		defer close(n.done)
		n.run(ctx)
	}()
	return n
}

// stop ends the connection and waits for it.
func (n *network) stop() {
	n.cancel()
	<-n.done
}

func (n *network) update(conf Network) {
	n.conf.Store(&conf)
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// sameServers reports whether the connection may stay under another
// configuration: only who is told where may differ.
func (n *network) sameServers(conf Network) bool {
	a, b := *n.conf.Load(), conf
	for _, c := range []*Network{&a, &b} {
		c.Channels, c.Colors, c.Commands, c.HeartbeatChannel, c.Spool, c.Rate = nil, false, false, "", SpoolSize{}, Rate{}
	}
	return reflect.DeepEqual(a, b)
}

const (
	dialTimeout = 30 * time.Second
	// settled is how long a connection lasts that was worth it: the next one is
	// tried soon again.
	settled = time.Minute
)

// run connects again and again until ctx ends, to one server after the other.
func (n *network) run(ctx context.Context) {
	failed := 0
	for attempt := 0; ctx.Err() == nil; attempt++ {
		conf := *n.conf.Load()
		server := conf.Servers[attempt%len(conf.Servers)]
		if attempt > 0 {
			n.b.metrics.reconnects.WithLabelValues(n.name).Inc()
		}
		begin := time.Now()
		err := n.connect(ctx, conf, server)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begin) > settled {
			failed = 0
		}
		failed++
		wait := pause(conf.Reconnect, failed, rand.Float64())
		n.log.Warn("not connected to IRC", "server", server, "err", err, "again_in", wait.Round(time.Second).String())
		n.ended(err, n.b.now().Add(wait))
		if !sleep(ctx, wait) {
			return
		}
	}
}

// pause is how long to wait before the next connection: never below the floor,
// since servers ban who comes back at once, and never the same for all bots
// that lost the same server.
func pause(r Reconnect, failed int, random float64) time.Duration {
	p := retry.Policy{Base: r.Floor, Max: r.Max}
	d := p.Delay(failed, 0)
	return d + time.Duration(random*float64(d)/4)
}

// connect speaks with one server until the connection ends.
func (n *network) connect(ctx context.Context, conf Network, server string) error {
	c, err := linkConfig(conf, server)
	if err != nil {
		return err
	}
	c.Dial = n.b.dial
	s := newSession(n, conf, server)
	s.link = link.New(c, s.observe)
	ended := make(chan error, 1)
	// The session ends the link, so that it can say goodbye.
	go func() { ended <- s.link.Run(context.WithoutCancel(ctx)) }()
	err = s.run(ctx, ended)
	s.finish(ctx)
	return err
}

func linkConfig(conf Network, server string) (link.Config, error) {
	c := link.Config{
		Address: server, Nick: conf.Nick, User: first(conf.User, conf.Nick), RealName: first(conf.RealName, conf.Nick),
		Account: conf.SASL.Account, AuthRequired: conf.SASL.Required, Timeout: dialTimeout,
	}
	var err error
	if c.TLS, err = conf.TLS.config(server); err != nil {
		return c, fmt.Errorf("tls: %w", err)
	}
	for _, f := range []struct {
		name string
		into *secret.Text
	}{{conf.PasswordFile, &c.Password}, {conf.SASL.PasswordFile, &c.AccountKey}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = secret.Read(f.name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// mask of ours before the server told it.
func (conf Network) mask() wire.Mask { return wire.Mask{Nick: conf.Nick} }
