package host

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/colliehq/collie/exporters/probe"
)

// proxyFunc says which proxy a URL is reached by; it is nil if there is never
// one.
func (h *httpOptions) proxyFunc() func(*url.URL) (*url.URL, error) {
	switch {
	case h.ProxyFromEnvironment:
		return httpproxy.FromEnvironment().ProxyFunc()
	case h.ProxyURL != "":
		c := httpproxy.Config{HTTPProxy: h.ProxyURL, HTTPSProxy: h.ProxyURL, NoProxy: h.NoProxy}
		if h.NoProxy == "" { // httpproxy never sends requests for this machine to a proxy; what is configured by name is meant
			u, _ := parseProxy(h.ProxyURL) // was checked
			return func(*url.URL) (*url.URL, error) { return u, nil }
		}
		return c.ProxyFunc()
	}
	return nil
}

// dialProxy connects to the proxy, whose name is looked up like any other.
func (x *exchange) dialProxy(h *hop, proxy *url.URL) (net.Conn, error) {
	addr, err := ipOptions{Preferred: x.probe.options.Preferred, Fallback: true}.choose(x.ctx, x.req.Resolver, proxy.Hostname())
	if err != nil {
		return nil, err
	}
	port, err := lookupPort(x.ctx, "tcp", portOf(proxy))
	if err != nil {
		return nil, err
	}
	h.resolved = time.Now()
	open := x.req
	open.Dial = nil // the proxy's address is the operator's own, from the module file
	conn, end, err := dialTCP(x.ctx, open, ipAddr{}, netip.AddrPortFrom(addr, port))
	if err != nil {
		return nil, err
	}
	h.connected = time.Now()
	h.closers = append(h.closers, end)
	if proxy.Scheme == "https" {
		return x.handshake(h, conn, proxy.Hostname(), false)
	}
	return conn, nil
}

// tunnel asks the proxy for a connection to u's host (RFC 9110, 9.3.6).
func (x *exchange) tunnel(h *hop, conn net.Conn, proxy, u *url.URL) error {
	h.doing, h.reason = "CONNECT through proxy "+proxy.Host, probe.Protocol
	host := u.Hostname()
	if len(x.hops) == 1 && x.first.addr.IsValid() {
		host = x.first.addr.String()
	}
	target := net.JoinHostPort(host, portOf(u))
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	for name, values := range x.probe.options.ProxyConnectHeader {
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	if proxy.User != nil {
		r.Header.Set("Proxy-Authorization", basic(proxy.User))
	}
	if err := r.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(&headLimit{r: oneByte{conn}, left: maxHeader}), r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		h.reason = probe.Auth
	case resp.StatusCode/100 == 2:
		return nil
	}
	return fmt.Errorf("the proxy answered %s", resp.Status)
}

// oneByte reads a byte at a time, so that nothing after the header of an answer
// to CONNECT is taken from the connection: that belongs to the tunnel.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:min(1, len(p))]) }

func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}
