package rabbitmq

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/common/config"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/secret"
)

// Bounds on what the other side can cost us.
const (
	maxBody   = 512 << 20 // of one answer, in bytes: a million queues
	maxSmall  = 4 << 20   // of an answer that lists nodes or a check
	maxHeader = 64 << 10
	maxWords  = 200 // of an answer that is quoted, in bytes
)

// client makes the requests of one probe. Its connections end with it.
type client struct {
	o         *options
	req       probe.Request
	transport *http.Transport
	password  secret.Text

	requests, bytes atomic.Int64
}

func newClient(o *options, req probe.Request) (*client, error) {
	c := &client{o: o, req: req}
	password, err := o.password()
	if err != nil {
		return nil, err
	}
	tls, err := config.NewTLSConfig(&o.TLS)
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	c.password = password
	c.transport = &http.Transport{
		DialContext: c.dial, TLSClientConfig: tls, DisableCompression: true, // compressing costs the broker more than the wire
		MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: maxHeader,
	}
	return c, nil
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// dial connects to one address of the host, and asks the guard about it.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addr, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{KeepAlive: -1}
	if guard := c.req.Dial; guard != nil {
		d.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return guard(network, address)
		}
	}
	return d.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
}

// resolve takes an address of the preferred family, else one of the other.
func (c *client) resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	addrs, err := c.req.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if a.Unmap().Is4() == (c.o.IPProtocol == "ip4") {
			return a.Unmap(), nil
		}
	}
	if len(addrs) == 0 {
		return netip.Addr{}, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addrs[0].Unmap(), nil
}

// answer is a response whose body is bounded and counted.
type answer struct {
	status int
	body   io.ReadCloser
}

// get asks for a path below an endpoint. Credentials go to the management API,
// and to the metrics only if the node asks for them.
func (c *client) get(ctx context.Context, r road, e endpoint, path string, query url.Values) (*answer, error) {
	a, err := c.ask(ctx, e, path, query, r == managementRoad)
	if err == nil && a.status == http.StatusUnauthorized && r == metricsRoad && c.o.managed() {
		_ = a.body.Close() // nothing in it is needed
		return c.ask(ctx, e, path, query, true)
	}
	return a, err
}

func (c *client) ask(ctx context.Context, e endpoint, path string, query url.Values, login bool) (*answer, error) {
	address := e.base.String() + path // the path as it is escaped
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, faultf(probe.Protocol, "%s", plain(err))
	}
	r.Header.Set("User-Agent", "Collie")
	if login {
		r.SetBasicAuth(c.o.Username, c.password.Reveal())
	}
	start := time.Now()
	c.requests.Add(1)
	resp, err := c.transport.RoundTrip(r) //nolint:bodyclose // whoever reads the answer closes it. RabbitMQ never redirects: nothing is followed
	if err != nil {
		err = faultOf(err)
		c.req.Log.Debug("request failed", "url", r.URL.Redacted(), "err", err)
		return nil, err
	}
	c.req.Log.Debug("answered", "url", r.URL.Redacted(), "status", resp.StatusCode, "took", time.Since(start))
	return &answer{resp.StatusCode, &counted{ReadCloser: resp.Body, total: &c.bytes, left: maxBody}}, nil
}

// counted is a body that counts what is read of it, up to its bound.
type counted struct {
	io.ReadCloser
	total *atomic.Int64
	left  int64
}

func (b *counted) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, faultf(probe.Quota, "the answer has more than %d bytes", maxBody)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.total.Add(int64(n))
	return n, err
}

// judge says what is wrong with an answer that is not 200.
func (a *answer) judge() error {
	switch a.status {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return faultf(probe.Auth, "status %d: %s", a.status, a.words())
	}
	return faultf(probe.Status, "status %d: %s", a.status, a.words())
}

// words are the beginning of the body, on one line.
func (a *answer) words() string {
	text, _ := io.ReadAll(io.LimitReader(a.body, maxWords)) // what there is will do
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " ")
}

// guarded runs f and makes a panic in it a fault: a mistake over one answer
// must not cost the others their results.
func (c *client) guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.req.Log.Error("probe panicked", "panic", r, "stack", string(debug.Stack()))
			err = faultf(probe.Protocol, "the probe broke on this answer: %v (a mistake in Collie)", r)
		}
	}()
	return f()
}
