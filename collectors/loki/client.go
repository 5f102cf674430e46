package loki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Verdict is what an answer means for those who sent.
type Verdict int

// Verdicts.
const (
	// Accepted: Loki has every entry. Only 200 and 204 say so.
	Accepted Verdict = iota
	// Rejected: Loki refuses some entries for good, and may have stored the
	// others (400).
	Rejected
	// TooLarge: the request is to be split (413).
	TooLarge
	// Later: the same bytes are to be sent again: 429, 5xx, no answer, and all
	// that is no answer of Loki's push, such as 260 of a tenant that is blocked,
	// or 401 while a password is wrong.
	Later
)

// String is the verdict as metrics label it.
func (v Verdict) String() string {
	return [...]string{"accepted", "rejected", "too_large", "later"}[v]
}

// Answer is what became of one attempt.
type Answer struct {
	Verdict Verdict
	Status  int           // of HTTP; 0 if there was no answer
	After   time.Duration // how long Loki asks to wait, 0 if it does not say
	Cause   string        // in the words of Loki or of the network
}

const (
	maxCause   = 1 << 10   // of an answer that is kept
	maxAfter   = time.Hour // of what Loki may ask us to wait
	pushPath   = "/loki/api/v1/push"
	maxIgnored = 64 << 10 // of an answer's rest that is read, to use the connection again
)

// Options of a client. URL must be set.
type Options struct {
	URL       string // of Loki, or of the gateway before it, without the path of the API
	Tenant    string // X-Scope-Orgid; empty for a Loki without tenants
	UserAgent string
	Timeout   time.Duration // of one attempt; 0 means 30 s
	// Authorize adds what a gateway wants to know; nil means nothing. It is
	// called for each attempt, so a password may change.
	Authorize func(*http.Request) error
	Transport http.RoundTripper // nil means an own one
	Now       func() time.Time  // nil means time.Now
}

// Client makes attempts; it never repeats one.
type Client struct {
	o    Options
	http *http.Client
}

// New makes a client. Nothing is sent before Push.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, DisableCompression: true,
		}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{o: o, http: &http.Client{Transport: o.Transport, Timeout: o.Timeout, CheckRedirect: stay}}
}

// Close closes connections that wait for work.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Push makes one attempt with a body of an Encoder.
func (c *Client) Push(ctx context.Context, body []byte) Answer {
	req, err := c.request(ctx, body)
	if err != nil {
		return Answer{Verdict: Later, Cause: err.Error()}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{Verdict: Later, Cause: reason(err)}
	}
	defer func() { _ = resp.Body.Close() }() // nothing is lost with it
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxCause))
	_, _ = io.CopyN(io.Discard, resp.Body, maxIgnored)
	return c.answer(resp, said)
}

func (c *Client) request(ctx context.Context, body []byte) (*http.Request, error) {
	to := strings.TrimSuffix(strings.TrimSuffix(c.o.URL, "/"), pushPath) + pushPath
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("prepare a push to Loki: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", c.o.UserAgent)
	if c.o.Tenant != "" {
		req.Header.Set("X-Scope-Orgid", c.o.Tenant)
	}
	if c.o.Authorize != nil {
		err = c.o.Authorize(req)
	}
	return req, err
}

func (c *Client) answer(resp *http.Response, said []byte) Answer {
	a := Answer{Status: resp.StatusCode, Cause: words(said)}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		a.Verdict = Accepted
	case http.StatusBadRequest:
		a.Verdict = Rejected
	case http.StatusRequestEntityTooLarge:
		a.Verdict = TooLarge
	default:
		a.Verdict, a.After = Later, c.after(resp.Header.Get("Retry-After"))
	}
	if a.Cause == "" {
		a.Cause = resp.Status
	}
	return a
}

// after reads Retry-After, which is seconds or a date (RFC 9110, 10.2.3).
func (c *Client) after(header string) time.Duration {
	var d time.Duration
	if secs, err := strconv.ParseInt(strings.TrimSpace(header), 10, 64); err == nil {
		d = time.Duration(min(secs, int64(maxAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(c.o.Now())
	}
	return min(max(d, 0), maxAfter)
}

// words makes what a server says fit for a log line.
func words(said []byte) string {
	s := strings.ToValidUTF8(strings.TrimSpace(string(said)), "")
	for len(s) > maxCause || !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// reason leaves the URL away, which may have a password in it.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}
