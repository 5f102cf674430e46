package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/secret"
)

// dial opens a connection to one of the nodes, tried in random order. The
// library's own recovery stays off: when it was tried, confirms were lost.
func (q *Queue) dial(ctx context.Context, purpose string) (*amqp.Connection, error) {
	password, err := q.cfg.password()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := q.cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	cfg := amqp.Config{
		SASL:            []amqp.Authentication{&amqp.PlainAuth{Username: q.cfg.Username, Password: password}},
		Vhost:           q.cfg.VHost,
		Heartbeat:       q.cfg.Heartbeat,
		TLSClientConfig: tlsConfig,
		Properties:      amqp.Table{"product": "collie", "connection_name": "collie " + purpose},
		Dial:            func(network, addr string) (net.Conn, error) { return q.dialTCP(ctx, network, addr) },
	}
	var errs []error
	for _, i := range rand.Perm(len(q.cfg.URLs)) {
		conn, err := amqp.DialConfig(q.cfg.URLs[i], cfg)
		if err == nil {
			q.m.connects.Inc()
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", secret.URLs(q.cfg.URLs[i]), plain(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to RabbitMQ: %w", errors.Join(errs...))
}

// plain takes a url.Error apart, which repeats the URL.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (q *Queue) dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: q.cfg.DialTimeout}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	// For the handshake; the library takes it off.
	if err := conn.SetDeadline(time.Now().Add(q.cfg.DialTimeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &boundedConn{Conn: conn, timeout: q.cfg.ConfirmTimeout}, nil
}

// boundedConn gives up a write that the other side does not take: a broker
// under an alarm stops reading, and the library writes without a deadline.
type boundedConn struct {
	net.Conn
	timeout time.Duration
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
