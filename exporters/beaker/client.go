package beaker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/secret"
)

const (
	maxBody      = 32 << 20 // of a feed of some 40,000 systems
	maxRedirects = 3
)

// client asks one server, for the time of one probe.
type client struct {
	systemsOptions
	base     *url.URL
	http     *http.Client
	password secret.Text
	budget   *budget
	now      func() time.Time
	requests atomic.Int64
	received atomic.Int64
}

// trouble is a failure as probes tell it.
type trouble struct {
	reason probe.Reason
	cause  string
	server bool // of the whole server, so that asking more makes no sense
}

func (t *trouble) Error() string { return t.cause }

func (o *systemsOptions) client(base *url.URL, req probe.Request, b *budget, now func() time.Time) (*client, error) {
	c := &client{systemsOptions: *o, base: base, budget: b, now: now}
	config, err := o.tlsConfig()
	if err == nil && o.PasswordFile != "" {
		c.password, err = secret.Read(o.PasswordFile)
	}
	if err != nil {
		return nil, &trouble{probe.Auth, err.Error(), true}
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer(req), TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxConnsPerHost: parallel, MaxIdleConnsPerHost: parallel, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: sameServer,
	}
	return c, nil
}

func (o *systemsOptions) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: o.InsecureSkipVerify, MinVersion: tls.VersionTLS12} //nolint:gosec // the user's choice, off by default
	if o.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: no certificate in %s", o.CAFile)
	}
	return config, nil
}

// dialer resolves with the request's resolver and asks its guard about each
// address that is dialled, those of redirects as well.
func dialer(req probe.Request) func(context.Context, string, string) (net.Conn, error) {
	var d net.Dialer
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
		addrs, err := req.Resolver.LookupNetIP(ctx, "ip", host)
		if err == nil && len(addrs) == 0 {
			err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
		}
		for _, a := range addrs {
			var conn net.Conn
			if conn, err = d.DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}

// errLogin is a redirect to a page where a person would log in.
var errLogin = errors.New("the server asks to log in")

// errElsewhere is a redirect away from the server, where no password is sent.
var errElsewhere = errors.New("redirected away")

// sameServer follows redirects as long as they stay at the server.
func sameServer(r *http.Request, via []*http.Request) error {
	switch {
	case isLogin(r.URL):
		return errLogin
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case r.URL.Host != via[0].URL.Host, via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return fmt.Errorf("%w to %s://%s", errElsewhere, r.URL.Scheme, r.URL.Host)
	}
	return nil
}

// isLogin knows the places where Beaker, and what may stand before it, ask who
// somebody is.
func isLogin(u *url.URL) bool {
	for _, word := range []string{"login", "signin", "saml", "openid", "oauth", "auth/realms"} {
		if strings.Contains(strings.ToLower(u.Path), word) {
			return true
		}
	}
	return false
}

// get asks for a path below the base and gives the answer to read.
func (c *client) get(ctx context.Context, accept string, query url.Values, read func(io.Reader) error, path ...string) error {
	u := c.base.JoinPath(path...)
	u.RawQuery = query.Encode()
	return c.do(ctx, http.MethodGet, u, accept, "", read)
}

// post sends XML to a path below the base.
func (c *client) post(ctx context.Context, path, body string, read func(io.Reader) error) error {
	return c.do(ctx, http.MethodPost, c.base.JoinPath(path), "text/xml", body, read)
}

func (c *client) do(ctx context.Context, method string, u *url.URL, accept, body string, read func(io.Reader) error) error {
	if !c.budget.spend(float64(c.RequestsPerHour), c.now()) {
		return errSpent
	}
	c.requests.Add(1)
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, share(ctx))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return &trouble{probe.Protocol, err.Error(), false}
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "Collie")
	if body != "" {
		r.Header.Set("Content-Type", "text/xml")
	}
	if c.Username != "" {
		r.SetBasicAuth(c.Username, c.password.Reveal())
	}
	resp, err := c.http.Do(r)
	at := method + " " + u.Path
	if err == nil {
		defer func() { _ = resp.Body.Close() }() // the answer is in
		if err = judge(resp, at); err == nil {
			err = c.body(resp, at, read)
		}
	}
	return classify(whole, err)
}

// share is how long one request may take, so that a slow one leaves time for
// others.
func share(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	return max(time.Until(deadline)/3, time.Second)
}

// classify makes a trouble of an error. Whoever took more than a share of the
// time is not the whole server.
func classify(whole context.Context, err error) error {
	var t *trouble
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &t):
		t = troubleOf(err)
	}
	if t.reason == probe.Timeout && whole.Err() == nil {
		return &trouble{t.reason, t.cause, false}
	}
	return t
}

// errSpent says that the hour's requests are spent.
var errSpent = errors.New("requests_per_hour are spent")

// judge looks at status and kind of an answer.
func judge(resp *http.Response, at string) error {
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return &trouble{probe.Auth, fmt.Sprintf("%s answers %s", at, resp.Status), true}
	case code == http.StatusTooManyRequests:
		return &trouble{probe.Quota, fmt.Sprintf("%s answers %s", at, resp.Status), true}
	case code >= http.StatusInternalServerError:
		return &trouble{probe.Status, fmt.Sprintf("%s answers %s", at, resp.Status), true}
	case code != http.StatusOK:
		return &trouble{probe.Status, fmt.Sprintf("%s answers %s", at, resp.Status), false}
	}
	return nil
}

// body lets read have the answer, within bounds, and says what is wrong with it.
func (c *client) body(resp *http.Response, at string, read func(io.Reader) error) error {
	limited := &io.LimitedReader{R: resp.Body, N: maxBody}
	var head bytes.Buffer
	err := c.page(resp, at, io.TeeReader(io.LimitReader(limited, 4<<10), &head), &head)
	if err == nil {
		err = read(io.MultiReader(bytes.NewReader(head.Bytes()), limited))
	}
	c.received.Add(maxBody - limited.N)
	var fault *faultError
	var known *trouble
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case limited.N == 0:
		return &trouble{probe.Body, fmt.Sprintf("the answer to %s is longer than %d MiB", at, maxBody>>20), false}
	case errors.As(err, &fault) && strings.Contains(strings.ToLower(fault.text), "log in"):
		return &trouble{probe.Auth, fmt.Sprintf("%s: %v", at, err), false}
	case errors.As(err, &fault):
		return &trouble{probe.Status, fmt.Sprintf("%s: %v", at, err), false}
	case isTransport(err):
		return troubleOf(err)
	}
	return &trouble{probe.Body, fmt.Sprintf("the answer to %s cannot be read: %v", at, err), false}
}

// page refuses pages for people, which servers and what stands before them
// send with status 200 too.
func (c *client) page(resp *http.Response, at string, r io.Reader, head *bytes.Buffer) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	text := strings.ToLower(head.String())
	start := strings.TrimSpace(text)
	if !strings.Contains(resp.Header.Get("Content-Type"), "text/html") && !strings.HasPrefix(start, "<!doctype html") && !strings.HasPrefix(start, "<html") {
		return nil
	}
	if strings.Contains(text, `type="password"`) || strings.Contains(text, "<title>log") || strings.Contains(text, "sign in") {
		return &trouble{probe.Auth, fmt.Sprintf("%s answers a page to log in", at), true}
	}
	return &trouble{probe.Body, fmt.Sprintf("%s answers a page for people: is the target the address of Beaker itself, as in https://beaker.example.org/bkr?", at), false}
}

// troubleOf maps what kept a request from being answered to a reason.
func troubleOf(err error) *trouble {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout net.Error
	reason := probe.Protocol
	switch {
	case errors.Is(err, errLogin):
		reason = probe.Auth
	case errors.Is(err, errElsewhere):
		reason = probe.Status
	case errors.As(err, &dns):
		reason = probe.DNS
	case errors.Is(err, probe.ErrGuarded), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES):
		reason = probe.Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		reason = probe.Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = probe.Refused
	case errors.As(err, &cert), errors.As(err, &record), strings.Contains(err.Error(), "tls: "):
		reason = probe.TLS
	}
	return &trouble{reason, secret.URLs(err.Error()), true}
}

// isTransport tells whether a body could not be had, rather than not be read.
func isTransport(err error) bool {
	var op *net.OpError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &op)
}
