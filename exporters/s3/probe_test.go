package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// A bucket of many keys behind a server that takes 50 ms for each page: no
// probe waits for it, the total is exact, and nothing is asked after the end. A
// million of them are in the story s3 and in the benchmark.
func TestManyKeysInTheBackground(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 200_000, Prefixes: 16, Latency: 50 * time.Millisecond})
	x, stop := running(t, &memory{})
	m := build(t, x, "s3", "endpoint: "+f.URL)
	var slowest time.Duration
	r := await(t, m, "big", func(r probe.Result) bool {
		slowest = max(slowest, r.Duration)
		return known(r)
	})
	want(t, r, map[string]float64{"probe_s3_objects": 200_000, "probe_s3_size_bytes": 200_000 * s3test.ObjectSize})
	t.Logf("the slowest probe took %s", slowest)
	stop()
	n := f.Requests()
	time.Sleep(200 * time.Millisecond) // longer than any page
	if f.Requests() != n {
		t.Error("requests were made after the end")
	}
}

// What was listed before a restart is not listed again.
func TestRestartGoesOn(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 100_000, Prefixes: 4, Latency: 20 * time.Millisecond})
	c := &memory{}
	options := "{endpoint: '" + f.URL + "', parallel: 2}"
	for f.Pages() < 60 {
		before := f.Pages()
		x, stop := running(t, c)
		m := build(t, x, "s3", options)
		await(t, m, "b", func(probe.Result) bool { return f.Pages() >= before+20 })
		stop()
	}
	x, _ := running(t, c)
	r := await(t, build(t, x, "s3", options), "b", known)
	want(t, r, map[string]float64{"probe_s3_objects": 100_000, "probe_s3_size_bytes": 100_000 * s3test.ObjectSize})
	if n := f.Pages(); n > 150 {
		t.Errorf("%d pages for 100 and three restarts", n)
	}
	// The next one shows the total at once, with its age.
	x, _ = running(t, c)
	r = look(t, build(t, x, "s3", options), "b")
	want(t, r, map[string]float64{"probe_s3_total_known": 1, "probe_s3_objects": 100_000})
	if age, ok := value(r, "probe_s3_total_age_seconds", "source", "listing"); !ok || age <= 0 {
		t.Errorf("age %v", age)
	}
}

// A server that is overloaded in bursts costs time, and nothing else.
func TestBurstsOfSlowDown(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 100_000, Prefixes: 4, Faults: s3test.Faults{SlowDown: 5, BadTokens: true}})
	x, _ := running(t, &memory{})
	m := build(t, x, "s3", "endpoint: "+f.URL)
	r := await(t, m, "b", known)
	want(t, r, map[string]float64{"probe_s3_objects": 100_000})
	f.Break(s3test.Faults{SlowDown: 100})
	r = look(t, m, "b")
	if r.Success || r.Reason != probe.Quota || !strings.Contains(r.Cause, "SlowDown") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
	want(t, r, map[string]float64{"probe_s3_objects": 100_000}) // partial data survives
	f.Break(s3test.Faults{})
	await(t, m, "b", func(r probe.Result) bool { return r.Success })
}

// The budget stops a listing, and no probe.
func TestBudget(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 100_000})
	x, _ := running(t, &memory{})
	m := build(t, x, "s3", "{endpoint: '"+f.URL+"', requests_per_hour: 30}")
	r := await(t, m, "b", func(probe.Result) bool { return f.Pages() >= 28 })
	if left, _ := value(r, "probe_s3_listing_budget_remaining_requests"); !r.Success || left > 2 {
		t.Errorf("%s, %v left", r.Cause, left)
	}
	if n := f.Pages(); n > 31 {
		t.Errorf("%d pages with a budget of 30", n)
	}
	r = look(t, build(t, s3.New(s3.Options{}), "s3", "{endpoint: '"+f.URL+"', requests_per_hour: 30}"), "b")
	if r.Reason != probe.Quota || !strings.Contains(r.Cause, "budget") {
		t.Errorf("directly: %s %s", r.Reason, r.Cause)
	}
}

// Without background work a probe lists itself, and tells how far it came.
func TestDirect(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 100_000, Prefixes: 4, Latency: 50 * time.Millisecond})
	m := build(t, s3.New(s3.Options{}), "s3", "{endpoint: '"+f.URL+"', parallel: 1}")
	m.Timeout = 1500 * time.Millisecond
	r := look(t, m, "b")
	if r.Reason != probe.Timeout || !strings.Contains(r.Cause, "objects") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
	if n, _ := value(r, "probe_s3_listing_objects"); n < 1000 {
		t.Errorf("%v objects in a second", n)
	}
	n := f.Requests()
	time.Sleep(200 * time.Millisecond)
	if f.Requests() != n {
		t.Error("requests were made after the end")
	}
	m = build(t, s3.New(s3.Options{}), "s3", "endpoint: "+f.URL)
	r = look(t, m, "b")
	want(t, r, map[string]float64{"probe_s3_objects": 100_000, "probe_success": 1})
	r = look(t, build(t, s3.New(s3.Options{}), "s3", ""), f.URL+"/b") // a public bucket, by the built-in module
	want(t, r, map[string]float64{"probe_s3_objects": 100_000, "probe_success": 1})
}

func TestReasons(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	code := func(status int, code string) string {
		return answer(status, "<Error><Code>"+code+"</Code><Message>m</Message></Error>")
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer secure.Close()
	broken := fake(t, s3test.FakeOptions{Keys: 10, Faults: s3test.Faults{BadXML: true}})
	endless := fake(t, s3test.FakeOptions{Keys: 3000, Faults: s3test.Faults{Endless: true}})
	for name, c := range map[string]struct {
		endpoint string
		want     probe.Reason
		cause    string
	}{
		"refused":          {closed.URL, probe.Refused, "refused"},
		"mute":             {"http://" + mute.Addr().String(), probe.Timeout, "time"},
		"no name":          {"http://nosuch.invalid", probe.DNS, "nosuch"},
		"certificate":      {secure.URL, probe.TLS, "certificate"},
		"metadata":         {"http://169.254.169.254", probe.Unreachable, "never probed"},
		"bad key":          {code(403, "InvalidAccessKeyId"), probe.Auth, "InvalidAccessKeyId"},
		"bad signature":    {code(403, "SignatureDoesNotMatch"), probe.Auth, "SignatureDoesNotMatch"},
		"denied":           {code(403, "AccessDenied"), probe.Auth, "AccessDenied"},
		"expired":          {code(400, "ExpiredToken"), probe.Auth, "ExpiredToken"},
		"no bucket":        {code(404, "NoSuchBucket"), probe.Status, "NoSuchBucket"},
		"slow down":        {code(503, "SlowDown"), probe.Quota, "SlowDown"},
		"too many":         {answer(429, ""), probe.Quota, "429"},
		"full":             {code(403, "QuotaExceeded"), probe.Quota, "QuotaExceeded"},
		"proxy":            {answer(502, "<html>"), probe.Status, "502"},
		"elsewhere":        {answer(301, "<Error><Code>PermanentRedirect</Code><Region>eu-west-1</Region></Error>"), probe.Status, "region: eu-west-1"},
		"no S3":            {answer(200, "<html><body>It works!</body></html>"), probe.Protocol, "html"},
		"bomb":             {answer(200, `<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult>&b;</ListBucketResult>`), probe.Protocol, "document type"},
		"bad XML":          {broken.URL, probe.Protocol, "ends too early"},
		"endless listings": {endless.URL, probe.Protocol, "order"},
	} {
		m := build(t, s3.New(s3.Options{}), "s3", "endpoint: "+c.endpoint)
		m.Timeout = 20 * time.Second
		if name == "mute" {
			m.Timeout = 300 * time.Millisecond
		}
		r := look(t, m, "b")
		if r.Reason != c.want || !strings.Contains(r.Cause, c.cause) {
			t.Errorf("%s: %s %q, want %s", name, r.Reason, r.Cause, c.want)
		}
	}
}

// A hostile answer of any kind is a failure, no panic, and brings no series
// that others do not have.
func TestSeriesStayFew(t *testing.T) {
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200 + int(body[0])*2%400)
		_, _ = w.Write(body)
	}))
	defer s.Close()
	m := build(t, s3.New(s3.Options{}), "s3", "endpoint: "+s.URL)
	seen := map[string]bool{}
	for i := range 2000 {
		body = make([]byte, 100)
		_, _ = rand.Read(body)
		if i%2 == 0 {
			body = fmt.Appendf(body[:1:1], "<Error><Code>%x</Code></Error>", body)
		}
		r := look(t, m, fmt.Sprintf("bucket-%x", body[:8]))
		if r.Success {
			t.Fatalf("%q is a success", body)
		}
		for _, f := range r.Metrics.Families() {
			for _, one := range f.Samples {
				series := fmt.Sprint(f.Name, one.Labels)
				if i > 0 && !seen[series] {
					t.Fatalf("%q brings %s", body, series)
				}
				seen[series] = true
			}
		}
	}
}

// What is not accepted of a bucket that is there.
func TestJudged(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 5})
	for options, c := range map[string]struct {
		reason probe.Reason
		cause  string
	}{
		"max_size: 4KB":        {probe.Quota, "max_size"},
		"max_size: 6KB":        {probe.None, ""},
		"max_newest_age: 1s":   {probe.Stale, "max_newest_age"},
		"max_newest_age: 500w": {probe.None, ""},
	} {
		r := look(t, build(t, s3.New(s3.Options{}), "s3", "{endpoint: '"+f.URL+"', "+options+"}"), "b")
		if options == "max_newest_age: 1s" && r.Reason == probe.None && time.Now().Before(time.Date(2026, 11, 22, 12, 0, 2, 0, time.UTC)) {
			continue // the simulation's objects are from then
		}
		if r.Reason != c.reason || !strings.Contains(r.Cause, c.cause) {
			t.Errorf("%s: %s %s", options, r.Reason, r.Cause)
		}
	}
}

// TLS with an authority of one's own, and virtual hosts.
func TestTLSAndVirtualHost(t *testing.T) {
	var host string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
	}))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	m := build(t, s3.New(s3.Options{}), "s3", "{endpoint: 'https://localhost"+port+"', addressing: path, uploads: false, versions: 'false', tls_config: {ca_file: "+ca+", server_name: example.com}}")
	r := look(t, m, "b")
	if !r.Success {
		t.Fatal(r.Reason, r.Cause)
	}
	if _, ok := value(r, "probe_s3_unfinished_uploads"); ok || host != "localhost"+port {
		t.Errorf("host %s, uploads counted: %t", host, ok)
	}
	m = build(t, s3.New(s3.Options{}), "s3", "{endpoint: 'https://s3.test"+port+"', addressing: virtual, tls_config: {ca_file: "+ca+", server_name: example.com}}")
	if r = probe.Run(t.Context(), m, probe.Request{Target: "b", Resolver: loopback{}}); host != "b.s3.test"+port {
		t.Errorf("host %s, %s", host, r.Cause)
	}
}

// loopback is where all names lead.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func TestOptions(t *testing.T) {
	x := s3.New(s3.Options{})
	for _, c := range []struct{ kind, options, want string }{
		{"s3", "endpoint: s3.example.org", ""},
		{"s3", "{endpoint: 'http://127.0.0.1:9000/s3/', region: eu, addressing: path, prefix: a/, parallel: 4, requests_per_hour: 100, list_every: 1d, versions: true, uploads: false, max_newest_age: 26h, max_total_age: 3d, max_size: 1TB}", ""},
		{"s3_canary", "{endpoint: s3.example.org, prefix: x/, size: 64KB}", ""},
		{"s3", "endpoint: ftp://x", "1: endpoint: ftp"},
		{"s3", "endpoint: 'https://u:p@x'", "access_key_file"},
		{"s3", "endpoint: 'https://x?y'", "no ?"},
		{"s3", "access_key_file: a", "both"},
		{"s3", "{access_key_file: a, secret_key_file: b}", "endpoint: is missing"},
		{"s3", "session_token_file: a", "access_key_file is missing"},
		{"s3", "access_key: AKIA", "access_key_file"},
		{"s3", "parallel: 0", "not between"},
		{"s3", "parallel: 65", "not between"},
		{"s3", "requests_per_hour: 0", "not between"},
		{"s3", "list_every: 1ms", "too short"},
		{"s3", "addressing: dns", "none of auto"},
		{"s3", "versions: maybe", "none of auto"},
		{"s3", "max_size: big", "not a number of bytes"},
		{"s3", "tls_config: {ca: x, ca_file: y}", "tls_config"},
		{"s3", "canary: true", "unknown key"},
		{"s3_canary", "prefix: x", "slash"},
		{"s3_canary", "prefix: /", "slash"},
		{"s3_canary", "size: 0", "not between"},
		{"s3_canary", "size: 2MB", "not between"},
	} {
		var got bytes.Buffer
		kindOf(t, x, c.kind).Build(node(t, c.options), func(line int, format string, args ...any) {
			fmt.Fprintf(&got, "%d: "+format+"\n", append([]any{line}, args...)...)
		})
		if c.want == "" && got.Len() > 0 || !strings.Contains(got.String(), c.want) {
			t.Errorf("%s: %q, want %q", c.options, got.String(), c.want)
		}
	}
	for target, cause := range map[string]string{"b": "no endpoint", "https://x/": "not the name of a bucket", "https://x/a/b": "not the name of a bucket"} {
		if r := look(t, build(t, x, "s3", ""), target); !strings.Contains(r.Cause, cause) {
			t.Errorf("%s: %s", target, r.Cause)
		}
	}
	r := look(t, build(t, x, "s3", "{endpoint: 'http://127.0.0.1:1', access_key_file: /nosuch, secret_key_file: /nosuch}"), "b")
	if r.Reason != probe.Auth || !strings.Contains(r.Cause, "does not exist") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

// A panic, a reload and many buckets: the number of jobs is bounded.
func TestManyBuckets(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 1})
	x, _ := running(t, &memory{})
	m := build(t, x, "s3", "endpoint: "+f.URL)
	for i := range 256 {
		if r := look(t, m, fmt.Sprint("b", i)); !r.Success {
			t.Fatal(i, r.Cause)
		}
	}
	if r := look(t, m, "one-more"); r.Reason != probe.Quota {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

var _ s3.Checkpoints = (*memory)(nil)

// ctx that ends in the middle of a probe.
func TestScraperLeaves(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 10_000, Faults: s3test.Faults{Hang: true}})
	m := build(t, s3.New(s3.Options{}), "s3", "endpoint: "+f.URL)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for f.Requests() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if r := probe.Run(ctx, m, probe.Request{Target: "b"}); r.Reason != probe.Timeout {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}
