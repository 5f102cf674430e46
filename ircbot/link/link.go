// Package link is one connection to an IRC server, from dialling to its end.
// The library girc registers, asks for capabilities, authenticates and answers
// PING; it stands behind a filter that keeps from it what would stall it, end
// it or make it flood, and hands every message to the session.
package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync/atomic"
	"time"

	"github.com/lrstanley/girc"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/ircbot/wire"
)

// Errors that end a connection for reasons that a person has to mend.
var (
	// ErrAuth is a server that did not let us log in although we must.
	ErrAuth = errors.New("not logged in")
	// ErrNick is a server that refuses our nick.
	ErrNick = errors.New("nick refused")
)

// Dial opens the connection on which IRC is spoken.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// Config of a connection.
type Config struct {
	Address  string // host:port
	TLS      *tls.Config
	Nick     string
	User     string
	RealName string
	Password secret.Text // of the server, rarely needed

	Account      string // SASL PLAIN; empty: none
	AccountKey   secret.Text
	AuthRequired bool

	Dial    Dial          // nil: TCP
	Timeout time.Duration // for dialling and, again, for registration
}

// MaxSASL is how many bytes of account, twice, and password girc can send
// without losing one: it breaks longer answers at the wrong places.
const MaxSASL = 298

// Link is one connection. Make another one for the next.
type Link struct {
	c       Config
	client  *girc.Client
	observe func(wire.Message)

	ctx        context.Context //nolint:containedctx // ends the connection, whoever finds the reason
	stop       context.CancelCauseFunc
	registered atomic.Bool
	caps       caps
	auth       atomic.Bool
	written    atomic.Int64
	skipped    atomic.Int64
	nicks      nicks
}

// New makes a connection that is not yet dialled. observe is called with each
// message, in order, from one goroutine of Run; while it does not return,
// nothing is read.
func New(c Config, observe func(wire.Message)) *Link {
	l := &Link{c: c, observe: observe, nicks: nicks{wanted: c.Nick}}
	l.ctx, l.stop = context.WithCancelCause(context.Background())
	conf := girc.Config{
		Server: "irc", Port: 1, // the dialler knows better
		Nick: c.Nick, User: c.User, Name: c.RealName, ServerPass: c.Password.Reveal(),
		AllowFlood: true, DisableSTS: true, PingDelay: -1,
		SupportedCaps:     map[string][]string{"labeled-response": nil, "echo-message": nil},
		HandleNickCollide: l.collide,
		RecoverFunc: func(_ *girc.Client, e *girc.HandlerError) {
			l.end(fmt.Errorf("the IRC library failed: %w", e))
		},
	}
	if c.Account != "" {
		conf.SASL = &girc.SASLPlain{User: c.Account, Pass: c.AccountKey.Reveal()}
	}
	l.client = girc.New(conf)
	return l
}

// Run connects and returns when the connection has ended, with the reason. It
// is called once.
func (l *Link) Run(ctx context.Context) error {
	defer l.stop(nil)
	defer context.AfterFunc(ctx, func() { l.stop(context.Cause(ctx)) })()
	conn, err := l.dial(l.ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", l.c.Address, err)
	}
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		l.guard(conn, done)
	}()
	err = l.client.DialerConnect(dialed{&filter{Conn: conn, l: l}})
	close(done)
	<-watched
	if cause := context.Cause(l.ctx); cause != nil {
		return cause
	}
	if err == nil {
		err = errors.New("the connection was closed")
	}
	return fmt.Errorf("connection to %s: %w", l.c.Address, err)
}

// guard closes the connection when it is to end, or if registering takes too
// long.
func (l *Link) guard(conn net.Conn, done <-chan struct{}) {
	t := time.NewTimer(l.c.Timeout)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-l.ctx.Done():
		case <-t.C:
			if l.registered.Load() {
				continue
			}
			l.end(fmt.Errorf("%s did not let us in within %s", l.c.Address, l.c.Timeout))
		}
		// girc ends when its connection does; its own Close is a race with Connect.
		conn.Close()
		return
	}
}

// end ends the connection for the reason; the first one counts.
func (l *Link) end(cause error) { l.stop(cause) }

// Close ends the connection for the reason.
func (l *Link) Close(cause error) { l.end(cause) }

func (l *Link) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.c.Timeout)
	defer cancel()
	dial := l.c.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			d := net.Dialer{KeepAlive: 30 * time.Second}
			return d.DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, l.c.Address)
	if err != nil || l.c.TLS == nil {
		return conn, err
	}
	secured := tls.Client(conn, l.c.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("secure the connection: %w%s", err, advice(err))
	}
	return secured, nil
}

// advice is what to do about a handshake that failed.
func advice(err error) string {
	var stranger x509.UnknownAuthorityError
	var name x509.HostnameError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &stranger):
		return "; if the server is yours, name the certificate that signed its own as tls.ca_file"
	case errors.As(err, &name):
		return "; if the server is known by another name, give it as tls.server_name"
	case errors.As(err, &plain), errors.Is(err, context.DeadlineExceeded):
		return "; does the server speak TLS on this port? tls.enabled says whether it does"
	}
	return ""
}

// Send writes a message. There is no answer: what became of it is told by the
// server or by the end of the connection. It must be called by one goroutine.
func (l *Link) Send(m wire.Message) {
	e := &girc.Event{Command: m.Command, Params: m.Params}
	if m.Is("PRIVMSG", "NOTICE") {
		// girc would split it, by characters and by a wrong length; what it does
		// not know as a message it leaves alone.
		e = &girc.Event{Command: wire.New(m.Command, m.Params...).String()}
	}
	if len(m.Tags) > 0 {
		e.Tags = girc.Tags(maps.Clone(m.Tags))
	}
	l.client.Send(e)
}

// Has reports whether a capability is on.
func (l *Link) Has(capability string) bool { return l.caps.has(capability) }

// Authenticated reports whether the server took our account.
func (l *Link) Authenticated() bool { return l.auth.Load() }

// Written is how many lines went to the server.
func (l *Link) Written() int64 { return l.written.Load() }

// Skipped is how many lines of the server were none.
func (l *Link) Skipped() int64 { return l.skipped.Load() }

// welcome is what the server says once we are in: nicks are the session's
// business from then on.
func (l *Link) welcome() error {
	if l.c.Account != "" && l.c.AuthRequired && !l.auth.Load() {
		return fmt.Errorf("%w: %s does not offer SASL PLAIN, which the configuration requires", ErrAuth, l.c.Address)
	}
	l.registered.Store(true)
	return nil
}

// dialed hands girc the connection that is open already.
type dialed struct{ conn net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.conn, nil }
