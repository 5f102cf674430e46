package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/publicsuffix"

	"github.com/colliehq/collie/exporters/probe"
)

const (
	userAgent    = "Collie"
	maxRedirects = 10
)

// errRedirect ends a chain of redirects.
var errRedirect = errors.New("redirect not followed")

// httpProbe is an http module, ready to probe.
type httpProbe struct {
	options  httpOptions
	tls      *tlsMaker
	proxy    func(*url.URL) (*url.URL, error) // nil without a proxy
	header   http.Header                      // sent with each request
	host     string                           // the Host header, if the module sets it
	secrets  []secretHeader
	bodyFile *watchedFile
}

// secretHeader is a header whose values are secret or in files.
type secretHeader struct {
	name   string
	values []secretText
}

func buildHTTP(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	p := &httpProbe{options: httpOptions{
		ipOptions: ipOptions{Fallback: true}, Method: http.MethodGet, FollowRedirects: true, EnableHTTP2: true,
	}}
	o := decode("http", node, &p.options, bad)
	if p.options.validate(o); !o.ok {
		return nil
	}
	if p.options.NoFollowRedirects != nil {
		p.options.FollowRedirects = !*p.options.NoFollowRedirects
	}
	p.tls = &tlsMaker{options: p.options.TLS}
	p.proxy = p.options.proxyFunc()
	p.header, p.host = p.options.header()
	for name, h := range p.options.HTTPHeaders {
		secret := secretHeader{name: textproto.CanonicalMIMEHeaderKey(name)}
		for _, v := range append(h.Values, h.Secrets...) {
			secret.values = append(secret.values, newSecret(v, ""))
		}
		for _, path := range h.Files {
			secret.values = append(secret.values, newSecret("", path))
		}
		p.secrets = append(p.secrets, secret)
	}
	if p.options.BodyFile != "" {
		p.bodyFile = &watchedFile{path: p.options.BodyFile}
	}
	return p.probe
}

// probe makes the request, follows redirects and judges the answer.
func (p *httpProbe) probe(ctx context.Context, req probe.Request) probe.Result {
	x := &exchange{ctx: ctx, probe: p, req: req}
	defer x.close()
	r, err := p.request(ctx, req)
	if err != nil {
		return x.end(fault{probe.Protocol, err.Error()})
	}
	if fail := p.authorize(r); fail != nil {
		return x.end(*fail)
	}
	if fail := x.resolveFirst(r); fail != nil {
		return x.end(*fail)
	}
	jar := &lazyJar{}
	client := http.Client{Transport: x, CheckRedirect: x.redirect, Jar: jar}
	resp, err := client.Do(r) //nolint:bodyclose // judge closes it, and net/http where it gives an error
	if resp == nil || err != nil && !errors.Is(err, errRedirect) {
		return x.end(x.fault(err))
	}
	return x.end(x.judge(resp))
}

// request makes the first request.
func (p *httpProbe) request(ctx context.Context, req probe.Request) (*http.Request, error) {
	target := req.Target
	if !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		target = "http://" + target
	}
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, p.options.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("target %q is not a URL: %s", req.Target, bare(err))
	}
	if r.URL.Hostname() == "" {
		return nil, fmt.Errorf("target %q has no host", req.Target)
	}
	r.Header = p.header.Clone()
	r.Close = true
	if r.Host = r.URL.Host; p.host != "" {
		r.Host = p.host
	}
	if h := req.Params.Hostname; h != "" {
		if p.host != "" && p.host != h {
			return nil, fmt.Errorf("the Host header is set twice: %s by the module, %s by the parameter hostname", p.host, h)
		}
		r.Host = h
	}
	return r, nil
}

// bare takes what is wrong out of an error of package url, which quotes the
// whole URL, with its password.
func bare(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

func (p *httpProbe) body() (*bytes.Reader, error) {
	switch {
	case p.bodyFile != nil:
		content, err := p.bodyFile.read()
		if err != nil {
			return nil, fmt.Errorf("body_file: %w", err)
		}
		return bytes.NewReader(content), nil
	case p.options.Body != "":
		return bytes.NewReader([]byte(p.options.Body)), nil
	}
	return bytes.NewReader(nil), nil
}

// authorize adds the secrets. They are on the first request: net/http leaves
// credentials out when it follows a redirect to another host.
func (p *httpProbe) authorize(r *http.Request) *fault {
	for _, h := range p.secrets {
		for _, v := range h.values {
			text, err := v.read()
			if err != nil {
				return &fault{probe.Auth, fmt.Sprintf("http_headers: %s", err)}
			}
			r.Header.Add(h.name, text)
		}
	}
	o := &p.options
	var err error
	switch {
	case r.Header.Get("Authorization") != "":
	case o.BasicAuth != nil:
		err = o.BasicAuth.set(r)
	case o.Authorization != nil:
		err = setAuthorization(r, o.Authorization.Type, newSecret(o.Authorization.Credentials, o.Authorization.CredentialsFile))
	case o.BearerToken != "" || o.BearerTokenFile != "":
		err = setAuthorization(r, "", newSecret(o.BearerToken, o.BearerTokenFile))
	}
	if err != nil {
		return &fault{probe.Auth, fmt.Sprintf("read the credentials: %s", err)}
	}
	return nil
}

func (b *basicAuth) set(r *http.Request) error {
	user, err := newSecret(b.Username, b.UsernameFile).read()
	if err != nil {
		return err
	}
	password, err := newSecret(b.Password, b.PasswordFile).read()
	if err != nil {
		return err
	}
	r.SetBasicAuth(user, password)
	return nil
}

func setAuthorization(r *http.Request, scheme string, s secretText) error {
	text, err := s.read()
	if err != nil {
		return err
	}
	if scheme = strings.TrimSpace(scheme); scheme == "" {
		scheme = "Bearer"
	}
	r.Header.Set("Authorization", scheme+" "+text)
	return nil
}

// redirect decides about following a redirect.
func (x *exchange) redirect(r *http.Request, via []*http.Request) error {
	x.redirects = len(via)
	follow := x.probe.options.FollowRedirects && x.redirects <= maxRedirects
	x.req.Log.Debug("received redirect", "location", r.URL.Redacted(), "follow", follow)
	switch {
	case !x.probe.options.FollowRedirects:
		return http.ErrUseLastResponse
	case !follow:
		x.loop = true
		return errRedirect
	}
	r.Close = true
	return nil
}

// lazyJar is a cookie jar that is made when the first cookie comes: few probes
// meet one.
type lazyJar struct{ jar *cookiejar.Jar }

func (l *lazyJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	if l.jar == nil {
		l.jar, _ = cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // never fails
	}
	l.jar.SetCookies(u, cookies)
}

func (l *lazyJar) Cookies(u *url.URL) []*http.Cookie {
	if l.jar == nil {
		return nil
	}
	return l.jar.Cookies(u)
}

// fault is why a probe failed.
type fault struct {
	reason probe.Reason // None: it did not
	cause  string
}

// end makes the result and its metrics, whose families are the same whatever
// happened, but for those of a certificate and of Last-Modified.
func (x *exchange) end(f fault) probe.Result {
	m := &probe.Metrics{}
	x.first.export(m)
	x.addPhases(m)
	m.Gauge("probe_http_status_code", "The status of the last answer; 0 if there was none.", x.seen.status)
	m.Gauge("probe_http_content_length", "The length that the last answer announced; -1 if it did not.", x.seen.contentLength)
	m.Gauge("probe_http_uncompressed_body_length", "How many bytes of the body were read, after decompression.", x.seen.bodyLength)
	m.Gauge("probe_http_redirects", "How many redirects were met.", float64(x.redirects))
	m.Gauge("probe_http_ssl", "1 if the last answer came over TLS.", probe.Bool(x.seen.tls != nil))
	m.Gauge("probe_http_version", "The HTTP version of the last answer; 0 if there was none.", x.seen.version)
	m.Gauge("probe_failed_due_to_regex", "1 if the probe failed because a regular expression did or did not match.", probe.Bool(x.seen.regexFailed))
	if !x.seen.lastModified.IsZero() {
		m.Gauge("probe_http_last_modified_timestamp_seconds", "The Last-Modified header of the last answer, in Unix time.", unix(x.seen.lastModified))
	}
	if x.seen.tls != nil {
		addTLS(m, x.seen.tls)
	}
	if f.reason == probe.None {
		return probe.Result{Success: true, Metrics: *m}
	}
	result := probe.Fail(*m, f.reason, f.cause)
	result.Evidence = x.evidence()
	return result
}

// addPhases sums the phases of all round trips.
func (x *exchange) addPhases(m *probe.Metrics) {
	var connect, handshake, processing, transfer time.Duration
	resolve := x.first.took
	for _, h := range x.hops {
		resolve += between(h.start, h.resolved)
		connect += between(h.resolved, h.connected)
		handshake += between(h.tlsStart, h.tlsDone)
		processing += between(h.ready, h.firstByte)
		transfer += between(h.firstByte, h.end)
	}
	const name, help = "probe_http_duration_seconds", "How long each phase took, summed over redirects."
	m.Gauge(name, help, resolve.Seconds(), "phase", "resolve")
	m.Gauge(name, help, connect.Seconds(), "phase", "connect")
	m.Gauge(name, help, handshake.Seconds(), "phase", "tls")
	m.Gauge(name, help, processing.Seconds(), "phase", "processing")
	m.Gauge(name, help, transfer.Seconds(), "phase", "transfer")
}

// between is the time from one moment to another, if both came.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from)
}
