package host

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 1 << 20

// exchange is one http probe under way. It is the http.RoundTripper of its
// client, and makes a connection of its own for each round trip: without the
// pool, the goroutines and the guesses of http.Transport, a probe costs less
// and each phase is seen.
type exchange struct {
	ctx   context.Context //nolint:containedctx // an exchange lives for one call
	probe *httpProbe
	req   probe.Request

	first     lookup // the target's address
	firstHost string // the target's name

	hops      []*hop
	redirects int
	loop      bool // it ended because there were too many
	seen      seen
}

// hop is one round trip: when it came how far, and what it holds open.
type hop struct {
	request                                                              *http.Request
	start, resolved, connected, tlsStart, tlsDone, ready, firstByte, end time.Time
	doing                                                                string // what it was at, when it failed
	reason                                                               probe.Reason
	state                                                                *tls.ConnectionState
	closers                                                              []func()
}

// resolveFirst looks the target up. With a proxy that may be left to it.
func (x *exchange) resolveFirst(r *http.Request) *fault {
	x.firstHost = r.URL.Hostname()
	if x.probe.proxy != nil && x.probe.options.SkipResolveWithProxy {
		return nil
	}
	var err error
	if x.first, err = x.probe.options.resolve(x.ctx, x.req, x.firstHost); err != nil {
		return &fault{reasonOf(err, probe.DNS), plain(err)}
	}
	if x.probe.proxy != nil && x.req.Dial != nil { // the proxy dials it; what we must not reach, it must not reach for us
		if err := x.req.Dial("tcp", x.first.addr.String()); err != nil {
			return &fault{probe.Unreachable, err.Error()}
		}
	}
	return nil
}

// RoundTrip makes one request over a connection of its own.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	h := &hop{request: r, doing: "connect", reason: probe.Unreachable}
	x.hops = append(x.hops, h)
	if r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		h.doing, h.reason = "follow a redirect", probe.Protocol
		return nil, fmt.Errorf("%s is neither http nor https", r.URL.Scheme)
	}
	if isDebug(x.req) {
		x.req.Log.Debug("making HTTP request", "method", r.Method, "url", r.URL.Redacted(), "host", r.Host)
	}
	conn, viaProxy, err := x.connect(h, r)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme == "https" {
		if conn, err = x.handshake(h, conn, x.serverName(r), true); err != nil {
			return nil, err
		}
	}
	h.ready = time.Now()
	if h.state != nil && h.state.NegotiatedProtocol == "h2" {
		return h.http2(conn, r)
	}
	return h.http1(conn, r, viaProxy)
}

// connect reaches the server, or the proxy before it. ViaProxy says that the
// request is to be written for a proxy.
func (x *exchange) connect(h *hop, r *http.Request) (conn net.Conn, viaProxy bool, err error) {
	var proxy *url.URL
	if x.probe.proxy != nil {
		if proxy, err = x.probe.proxy(r.URL); err != nil {
			return nil, false, fmt.Errorf("proxy: %w", err)
		}
	}
	if proxy == nil {
		conn, err = x.dial(h, r.URL)
		return conn, false, err
	}
	if conn, err = x.dialProxy(h, proxy); err != nil {
		return nil, false, fmt.Errorf("proxy %s: %w", proxy.Host, err)
	}
	if r.URL.Scheme == "https" {
		return conn, false, x.tunnel(h, conn, proxy, r.URL)
	}
	if user := proxy.User; user != nil {
		r.Header.Set("Proxy-Authorization", basic(user))
	}
	return conn, true, nil
}

// dial connects to the host of u.
func (x *exchange) dial(h *hop, u *url.URL) (net.Conn, error) {
	addr := x.first.addr
	if u.Hostname() != x.firstHost || !addr.IsValid() {
		h.start = time.Now()
		lenient := ipOptions{Preferred: x.probe.options.Preferred, Fallback: true} // of the families only the target's own is asked for
		var err error
		if addr, err = lenient.choose(x.ctx, x.req.Resolver, u.Hostname()); err != nil {
			return nil, err
		}
	}
	h.resolved = time.Now()
	port, err := lookupPort(x.ctx, "tcp", portOf(u))
	if err != nil {
		h.reason = probe.Protocol
		return nil, err
	}
	conn, end, err := dialTCP(x.ctx, x.req, ipAddr{}, netip.AddrPortFrom(addr, port))
	if err != nil {
		return nil, err
	}
	h.connected = time.Now()
	h.closers = append(h.closers, end)
	return conn, nil
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// handshake starts TLS. Only with the target itself it is a phase, and HTTP/2
// offered.
func (x *exchange) handshake(h *hop, conn net.Conn, server string, target bool) (net.Conn, error) {
	var protocols []string
	if target && x.probe.options.EnableHTTP2 {
		protocols = []string{"h2", "http/1.1"}
	}
	h.doing, h.reason = "TLS handshake", probe.TLS
	config, err := x.probe.tls.config(server, target && h.request.URL.Hostname() == x.firstHost, protocols...)
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	start := time.Now()
	t := tls.Client(conn, config)
	//nolint:noctx // conn fails when the context ends, without the goroutine that HandshakeContext starts
	if err := t.Handshake(); err != nil {
		return nil, err
	}
	if target {
		state := t.ConnectionState()
		h.tlsStart, h.tlsDone, h.state = start, time.Now(), &state
	}
	return t, nil
}

// serverName is the name that the certificate must have. The Host header counts
// for the target itself, so that a virtual host can be probed by its address.
func (x *exchange) serverName(r *http.Request) string {
	name := r.URL.Hostname()
	if name == x.firstHost && r.Host != "" && r.Host != r.URL.Host {
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			return host
		}
		return r.Host
	}
	return name
}

// http2 makes the request over HTTP/2 (RFC 9113).
func (h *hop) http2(conn net.Conn, r *http.Request) (*http.Response, error) {
	h.doing, h.reason = "HTTP/2 request", probe.Protocol
	t := &http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader, Protocols: &http.Protocols{},
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	t.Protocols.SetHTTP2(true)
	client, err := t.NewClientConn(r.Context(), "https", r.URL.Host)
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, func() { _ = client.Close() })
	resp, err := client.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	h.firstByte = time.Now()
	resp.TLS = h.state
	return resp, nil
}

// http1 makes the request over HTTP/1.1 (RFC 9112): it is written in full, then
// the answer is read. A server that answers and hangs up before it has read a
// long body is still heard.
func (h *hop) http1(conn net.Conn, r *http.Request, viaProxy bool) (*http.Response, error) {
	h.doing, h.reason = "send the request", probe.Protocol
	write := r.Write
	if viaProxy {
		write = r.WriteProxy
	}
	wrote := write(conn)
	limited := &headLimit{r: conn, left: maxHeader}
	br := bufio.NewReaderSize(limited, 4096)
	if wrote == nil {
		h.doing = "wait for the answer"
	}
	if _, err := br.Peek(1); err != nil {
		return nil, errors.Join(wrote, err)
	}
	h.firstByte = time.Now()
	h.doing = "read the answer"
	resp, err := readFinal(br, r)
	if err != nil {
		return nil, err
	}
	limited.left = math.MaxInt64
	resp.TLS = h.state
	return resp, nil
}

// readFinal reads the answer that is not an interim one (RFC 9110, 15.2).
func readFinal(br *bufio.Reader, r *http.Request) (*http.Response, error) {
	const mostInterim = 5
	for range mostInterim {
		resp, err := http.ReadResponse(br, r)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, fmt.Errorf("more than %d interim answers", mostInterim)
}

var errHeader = errors.New("the header of the answer is longer than 1 MiB")

// headLimit reads at most left bytes.
type headLimit struct {
	r    io.Reader
	left int64
}

func (l *headLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errHeader
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// fault says why there was no answer.
func (x *exchange) fault(err error) fault {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // it quotes the URL again
	}
	doing, reason := "request", probe.Protocol
	if n := len(x.hops); n > 0 {
		doing, reason = x.hops[n-1].doing, x.hops[n-1].reason
	}
	reason = reasonOf(err, reason)
	cause := plain(err)
	if reason != probe.DNS {
		cause = doing + ": " + cause
	}
	return fault{reason, cause}
}

func (x *exchange) close() {
	for _, h := range x.hops {
		for _, closer := range slices.Backward(h.closers) {
			closer()
		}
	}
}
