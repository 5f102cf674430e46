package s3

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/common/config"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3/api"
)

// link is a client with what it costs.
type link struct {
	*api.Client

	transport *http.Transport
	requests  atomic.Int64
	bytes     atomic.Int64
	phases    phases
}

// connect makes a client of the target's bucket. Connections are kept and used
// again for up to keep requests at once; with 0 each request has its own.
func (c *connection) connect(target string, req probe.Request, keep int) (*link, error) {
	at, name, err := c.place(target)
	if err != nil {
		return nil, err
	}
	credentials, err := c.credentials()
	if err != nil {
		return nil, &api.CredentialsError{Cause: err}
	}
	tlsConfig, err := config.NewTLSConfig(&c.TLS)
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	l := &link{}
	l.transport = &http.Transport{
		DialContext: l.dialer(req), TLSClientConfig: tlsConfig, DisableCompression: true,
		MaxIdleConnsPerHost: keep, DisableKeepAlives: keep == 0, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	l.Client = &api.Client{
		Endpoint: at, Bucket: name, Region: c.Region, VirtualHost: c.virtual(at, name),
		Credentials: func() (api.Credentials, error) { return credentials, nil },
		Received:    func(n int) { l.bytes.Add(int64(n)) },
		HTTP:        &http.Client{Transport: counted{l}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	return l, nil
}

// close ends the connections.
func (l *link) close() { l.transport.CloseIdleConnections() }

// counted counts requests and times handshakes.
type counted struct{ *link }

// RoundTrip makes one request.
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	var began time.Time
	trace := &httptrace.ClientTrace{
		TLSHandshakeStart: func() { began = time.Now() },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { c.phases.add("tls", time.Since(began)) },
	}
	return c.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

// dialer resolves with the request's resolver and asks its guard about each
// address that is really dialled.
func (l *link) dialer(req probe.Request) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 15 * time.Second}
	if guard := req.Dial; guard != nil {
		d.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return guard(network, address)
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		addresses, err := resolve(ctx, req.Resolver, host)
		l.phases.add("resolve", time.Since(start))
		if err != nil {
			return nil, err
		}
		start = time.Now()
		defer func() { l.phases.add("connect", time.Since(start)) }()
		var conn net.Conn
		for _, a := range addresses {
			if conn, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil || ctx.Err() != nil {
				return conn, err
			}
		}
		return nil, err
	}
}

// mostAddresses bounds how many addresses of a name are tried.
const mostAddresses = 4

func resolve(ctx context.Context, r probe.Resolver, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addresses, err := r.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addresses) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	return addresses[:min(len(addresses), mostAddresses)], err
}

// phases are how long the parts of a probe took. Connections are made by
// goroutines of net/http, so that they are guarded.
type phases struct {
	mu   sync.Mutex
	took map[string]time.Duration
}

func (p *phases) add(name string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.took == nil {
		p.took = map[string]time.Duration{}
	}
	p.took[name] += d
}

func (p *phases) of(name string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.took[name]
}
