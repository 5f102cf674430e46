package engine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	promhttp "github.com/prometheus/common/config"
)

// SelfHost is the address at which scrapes reach this process without a
// network. The name cannot exist outside (RFC 2606).
const SelfHost = "collie.invalid:80"

// self serves scrapes of ourselves over connections in memory: whatever the
// listener asks of strangers, a password or a certificate, is not asked of us.
type self struct {
	server *http.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// newSelf returns nil for no handler.
func newSelf(h http.Handler) *self {
	if h == nil {
		return nil
	}
	return &self{
		server: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}, conns: make(chan net.Conn), done: make(chan struct{}),
	}
}

func (s *self) serve() {
	if s != nil {
		_ = s.server.Serve(s) // ends with close
	}
}

func (s *self) close() {
	if s != nil {
		_ = s.server.Close()
	}
}

// options make scrapes of SelfHost come here.
func (s *self) options() []promhttp.HTTPClientOption {
	if s == nil {
		return nil
	}
	var outside net.Dialer
	return []promhttp.HTTPClientOption{promhttp.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != SelfHost {
			return outside.DialContext(ctx, network, address)
		}
		here, there := net.Pipe()
		select {
		case s.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.done:
			return nil, net.ErrClosed
		}
	})}
}

// Accept implements net.Listener.
func (s *self) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, errors.Join(net.ErrClosed, http.ErrServerClosed)
	}
}

// Close implements net.Listener.
func (s *self) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// Addr implements net.Listener.
func (*self) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "memory" }
func (addr) String() string  { return SelfHost }
