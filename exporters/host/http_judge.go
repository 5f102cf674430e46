package host

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// maxMatched bounds the body that regular expressions look at, in bytes, where
// body_size_limit does not: it is held in memory.
const maxMatched = 32 << 20

// seen is what is known of the last answer.
type seen struct {
	status, contentLength, bodyLength, version float64
	regexFailed                                bool
	lastModified                               time.Time
	tls                                        *tls.ConnectionState
	proto, line                                string
	header                                     http.Header
	body                                       []byte // its first bytes
}

// judge looks at an answer. The checks and their order are blackbox_exporter's:
// status, header, body, version, TLS; the first that fails says why.
func (x *exchange) judge(resp *http.Response) fault {
	defer func() { _ = resp.Body.Close() }()
	x.remember(resp)
	o := &x.probe.options
	f := o.judgeStatus(resp, x.loop)
	if f.reason == probe.None {
		f = o.judgeHeader(resp.Header)
		x.seen.regexFailed = f.reason != probe.None
	}
	f = x.judgeBody(resp, f)
	x.hops[len(x.hops)-1].end = time.Now()
	if len(o.ValidHTTPVersions) > 0 && !slices.Contains(o.ValidHTTPVersions, resp.Proto) {
		f = f.or(probe.Protocol, "the answer came over %s, which valid_http_versions does not list", resp.Proto)
	}
	if resp.TLS != nil && o.FailIfSSL {
		f = f.or(probe.TLS, "the last request was made over TLS, and fail_if_ssl is set")
	}
	if resp.TLS == nil && o.FailIfNotSSL {
		f = f.or(probe.TLS, "the last request was not made over TLS, and fail_if_not_ssl is set")
	}
	return f
}

// or gives the fault another reason if it had none.
func (f fault) or(reason probe.Reason, format string, args ...any) fault {
	if f.reason != probe.None {
		return f
	}
	return fault{reason, fmt.Sprintf(format, args...)}
}

func (x *exchange) remember(resp *http.Response) {
	s := &x.seen
	s.status, s.contentLength = float64(resp.StatusCode), float64(resp.ContentLength)
	s.version, _ = strconv.ParseFloat(strings.TrimPrefix(resp.Proto, "HTTP/"), 64) // 0 if it is no number
	s.lastModified, _ = http.ParseTime(resp.Header.Get("Last-Modified"))           // zero if it is none
	s.tls, s.proto, s.line, s.header = resp.TLS, resp.Proto, resp.Status, resp.Header
	if isDebug(x.req) {
		x.req.Log.Debug("received HTTP response", "status", resp.Status, "version", resp.Proto, "content_length", resp.ContentLength)
	}
}

func (h *httpOptions) judgeStatus(resp *http.Response, loop bool) fault {
	code := resp.StatusCode
	valid := code >= 200 && code < 300
	if len(h.ValidStatusCodes) > 0 {
		valid = slices.Contains(h.ValidStatusCodes, code)
	}
	switch {
	case valid:
		return fault{}
	case loop:
		return fault{probe.Status, fmt.Sprintf("stopped after %d redirects, at one more: %s", maxRedirects, resp.Status)}
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		return fault{probe.Auth, "the answer was " + resp.Status}
	case len(h.ValidStatusCodes) > 0:
		return fault{probe.Status, fmt.Sprintf("the answer was %s, not one of %v", resp.Status, h.ValidStatusCodes)}
	}
	return fault{probe.Status, "the answer was " + resp.Status + ", not 2xx"}
}

func (h *httpOptions) judgeHeader(header http.Header) fault {
	for _, rule := range h.HeaderMatches {
		values := header.Values(rule.Header)
		if len(values) == 0 && !rule.AllowMissing {
			return fault{probe.Body, fmt.Sprintf("the header %s is missing", rule.Header)}
		}
		if slices.ContainsFunc(values, rule.Regexp.MatchString) {
			return fault{probe.Body, fmt.Sprintf("the header %s matches %q", rule.Header, rule.Regexp)}
		}
	}
	for _, rule := range h.HeaderNotMatches {
		values := header.Values(rule.Header)
		if len(values) == 0 {
			if rule.AllowMissing {
				continue
			}
			return fault{probe.Body, fmt.Sprintf("the header %s is missing", rule.Header)}
		}
		if !slices.ContainsFunc(values, rule.Regexp.MatchString) {
			return fault{probe.Body, fmt.Sprintf("the header %s does not match %q", rule.Header, rule.Regexp)}
		}
	}
	return fault{}
}

// judgeBody reads the body to its end, so that the transfer is measured, and
// matches it if nothing failed before.
func (x *exchange) judgeBody(resp *http.Response, f fault) fault {
	o := &x.probe.options
	body, err := decompress(o.Compression, resp.Body)
	if err != nil {
		return f.or(reasonOf(err, probe.Body), "decompress the body as %s: %s", o.Compression, plain(err))
	}
	limited := &bodyReader{r: body, limit: int64(o.BodySizeLimit)}
	defer func() { x.seen.bodyLength = float64(limited.n) }()
	match := f.reason == probe.None && len(o.BodyMatches)+len(o.BodyNotMatches) > 0
	if match {
		text, err := io.ReadAll(io.LimitReader(limited, maxMatched))
		x.seen.body = text[:min(len(text), maxBodyEvidence)]
		if err != nil {
			x.seen.regexFailed = true
			return bodyFault(err)
		}
		if f = o.matchBody(text); f.reason != probe.None {
			x.seen.regexFailed = true
		} else if len(text) == maxMatched {
			f = fault{probe.Body, fmt.Sprintf("the body is longer than the %d bytes that are matched; set body_size_limit", maxMatched)}
		}
	} else if f.reason != probe.None {
		x.seen.body, _ = io.ReadAll(io.LimitReader(limited, maxBodyEvidence))
	}
	if x.loop || x.redirects > 0 && !o.FollowRedirects {
		limited.n = 0 // as in blackbox_exporter the length of such a body does not count
		return f
	}
	if _, err := io.Copy(io.Discard, limited); err != nil && f.reason == probe.None {
		return bodyFault(err)
	}
	return f
}

func bodyFault(err error) fault {
	if errors.Is(err, errTooLong) {
		return fault{probe.Body, err.Error()}
	}
	return fault{reasonOf(err, probe.Body), "read the body: " + plain(err)}
}

func (h *httpOptions) matchBody(text []byte) fault {
	for _, re := range h.BodyMatches {
		if re.Match(text) {
			return fault{probe.Body, fmt.Sprintf("the body matches %q", re)}
		}
	}
	for _, re := range h.BodyNotMatches {
		if !re.Match(text) {
			return fault{probe.Body, fmt.Sprintf("the body does not match %q", re)}
		}
	}
	return fault{}
}

func decompress(algorithm string, body io.Reader) (io.Reader, error) {
	switch strings.ToLower(algorithm) {
	case "gzip":
		return gzip.NewReader(body)
	case "deflate":
		return flate.NewReader(body), nil
	}
	return body, nil
}

var errTooLong = errors.New("the body is longer than body_size_limit")

// bodyReader counts what it reads, and fails after limit bytes; 0 is no limit.
type bodyReader struct {
	r        io.Reader
	n, limit int64
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.limit > 0 {
		if left := b.limit - b.n; int64(len(p)) > left+1 { // one more than allowed shows that there is more
			p = p[:left+1]
		}
	}
	n, err := b.r.Read(p)
	if b.limit > 0 && b.n+int64(n) > b.limit {
		n = int(b.limit - b.n)
		b.n = b.limit
		return n, errTooLong
	}
	b.n += int64(n)
	return n, err
}

const (
	maxBodyEvidence   = 1 << 10
	maxHeaderEvidence = 2 << 10
)

// evidence is the exchange that failed, as far as it went: the request line,
// the answer's status and header without what may be secret, and the first
// bytes of its body.
func (x *exchange) evidence() string {
	if len(x.hops) == 0 {
		return ""
	}
	r := x.hops[len(x.hops)-1].request
	var b bytes.Buffer
	fmt.Fprintf(&b, "> %s %s\n", r.Method, withoutQuery(r.URL.Redacted()))
	if x.seen.header == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "< %s %s\n", x.seen.proto, x.seen.line)
	for _, name := range sortedKeys(x.seen.header) {
		for _, value := range x.seen.header[name] {
			fmt.Fprintf(&b, "< %s: %s\n", name, presentable(name, value))
		}
		if b.Len() > maxHeaderEvidence {
			b.Truncate(maxHeaderEvidence)
			b.WriteString("...\n")
			break
		}
	}
	if len(x.seen.body) > 0 {
		b.WriteString("\n")
		b.Write(x.seen.body)
	}
	return b.String()
}

// withoutQuery cuts the query off a URL: it may carry a token.
func withoutQuery(u string) string {
	if before, _, ok := strings.Cut(u, "?"); ok {
		return before + "?..."
	}
	return u
}

// presentable is a header's value as it may be shown.
func presentable(name, value string) string {
	if name == "Location" {
		return withoutQuery(value)
	}
	for _, word := range []string{"cookie", "authorization", "authenticat", "token", "secret", "key", "session", "password"} {
		if strings.Contains(strings.ToLower(name), word) {
			return "<redacted>"
		}
	}
	return value
}

func sortedKeys(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
