package host_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// answer serves one fixed answer on each connection, after the request's header.
func answer(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

func TestHTTPReasons(t *testing.T) {
	s := httptest.NewServer(dogHouse())
	t.Cleanup(s.Close)
	ca := newAuthority(t)
	stranger := httpsServer(t, ca.server(t, time.Now().Add(time.Hour)), "http/1.1")
	expired := httpsServer(t, ca.server(t, time.Now().Add(-time.Hour)), "http/1.1")
	resolver := names{"good.example": {"127.0.0.1"}, "metadata.example": {"169.254.169.254"}, "six.example": {"::1"}}
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	long := "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"
	for _, c := range []struct {
		name, options, target string
		reason                probe.Reason
		cause                 string
	}{
		{"by name", "{}", "good.example" + port, probe.None, ""},
		{"refused", "{}", refused(t), probe.Refused, "connect: connection refused"},
		{"black-holed", "{}", blackhole(t), probe.Timeout, "connect: no answer in time"},
		{"slow", "{}", s.URL + "/slow", probe.Timeout, "wait for the answer: no answer in time"},
		{"slow body", "{}", s.URL + "/slowbody", probe.Timeout, "read the body: no answer in time"},
		{"unknown name", "{}", "nosuch.example", probe.DNS, "lookup nosuch.example: no such host"},
		{"only the other family", "{preferred_ip_protocol: ip4, ip_protocol_fallback: false}", "six.example", probe.DNS, "lookup six.example: no such host"},
		{"address of the other family", "{preferred_ip_protocol: ip6, ip_protocol_fallback: false}", s.URL, probe.DNS, "falling back from ip6 is not allowed"},
		{"unknown authority", "{}", stranger, probe.TLS, "TLS handshake: tls: failed to verify certificate"},
		{"expired", "{tls_config: {ca_file: " + ca.File + "}}", expired, probe.TLS, "expired"},
		{"plain server", "{}", "https://good.example" + port, probe.TLS, "TLS handshake: http: server gave HTTP response to HTTPS client"},
		{"missing CA", "{tls_config: {ca_file: /nonexistent}}", stranger, probe.TLS, "tls_config: stat /nonexistent"},
		{"500", "{}", s.URL + "/500", probe.Status, "the answer was 500 Internal Server Error, not 2xx"},
		{"not in the list", "{valid_status_codes: [204]}", s.URL, probe.Status, "the answer was 200 OK, not one of [204]"},
		{"401", "{}", s.URL + "/auth", probe.Auth, "the answer was 401 Unauthorized"},
		{"loop", "{}", s.URL + "/loop", probe.Status, "stopped after 10 redirects"},
		{"wrong body", "{fail_if_body_not_matches_regexp: [cat]}", s.URL, probe.Body, `the body does not match "cat"`},
		{"bad body", "{fail_if_body_matches_regexp: [dog]}", s.URL, probe.Body, `the body matches "dog"`},
		{"too long a body", "{body_size_limit: 3B}", s.URL, probe.Body, "longer than body_size_limit"},
		{"missing header", "{fail_if_header_matches: [{header: X-Cat, regexp: a}]}", s.URL, probe.Body, "the header X-Cat is missing"},
		{"wrong header", "{fail_if_header_not_matches: [{header: x-dog, regexp: poodle}]}", s.URL, probe.Body, `the header x-dog does not match "poodle"`},
		{"not gzip", "{compression: gzip}", s.URL, probe.Body, "decompress the body as gzip"},
		{"TLS wanted", "{fail_if_not_ssl: true}", s.URL, probe.TLS, "fail_if_not_ssl"},
		{"version", "{valid_http_versions: [HTTP/2.0]}", s.URL, probe.Protocol, "HTTP/1.1, which valid_http_versions does not list"},
		{"hangs up", "{}", s.URL + "/hangup", probe.Protocol, "wait for the answer: the other side closed the connection"},
		{"cut off", "{}", s.URL + "/cut", probe.Body, "read the body: the other side closed the connection"},
		{"not HTTP", "{}", listen(t, "tcp", answer("SSH-2.0-OpenSSH_9\r\n")), probe.Protocol, "read the answer: malformed HTTP"},
		{"endless header", "{}", listen(t, "tcp", answer(long)), probe.Protocol, "longer than 1 MiB"},
		{"only interim answers", "{}", listen(t, "tcp", answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20))), probe.Protocol, "interim"},
		{"interim answer", "{}", listen(t, "tcp", answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.0 200 OK\r\n\r\nwoof")), probe.None, ""},
		{"redirect to another scheme", "{}", s.URL + "/elsewhere?to=ftp://good.example/", probe.Protocol, "ftp is neither http nor https"},
		{"metadata address", "{}", "http://169.254.169.254/latest", probe.Unreachable, "169.254.169.254 is link-local"},
		{"name of a metadata address", "{}", "http://metadata.example/latest", probe.Unreachable, "169.254.169.254 is link-local"},
		{"redirect to a metadata address", "{}", s.URL + "/elsewhere?to=http://metadata.example/", probe.Unreachable, "169.254.169.254 is link-local"},
		{"redirect to a mapped address", "{}", s.URL + "/elsewhere?to=" + url.QueryEscape("http://[::ffff:a9fe:a9fe]/"), probe.Unreachable, "link-local"},
		{"no URL", "{}", "http://[::1", probe.Protocol, "is not a URL"},
		{"no host", "{}", "http://", probe.Protocol, "has no host"},
		{"no such port", "{}", "http://127.0.0.1:99999/", probe.Protocol, `"99999" is not a port`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := section(t, "http", c.options)
			if c.reason == probe.Timeout {
				m.Timeout = time.Second
			}
			got := look(t, m, probe.Request{Target: c.target, Resolver: resolver, Dial: probe.GuardMetadata})
			want(t, got, c.reason, c.cause)
		})
	}
}

func TestHTTPRequest(t *testing.T) {
	seen := make(chan string, 1)
	address := listen(t, "tcp", func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		seen <- fmt.Sprintf("%s %s host=%s close=%t encoding=%q agent=%q dog=%q type=%q body=%q", r.Method, r.RequestURI, r.Host, r.Close,
			r.Header.Get("Accept-Encoding"), r.Header.Get("User-Agent"), r.Header["X-Dog"], r.Header.Get("Content-Type"), body)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	file := filepath.Join(t.TempDir(), "dog")
	if err := os.WriteFile(file, []byte("lassie\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, options string
		params        probe.Params
		want          string
	}{
		{"plain", "{}", probe.Params{}, `GET /a?b=c host=ADDRESS close=true encoding="" agent="Collie" dog=[] type="" body=""`},
		{
			"all", "{method: PUT, body: woof, headers: {Content-Type: text/dog, user-agent: me, host: dog.example}, http_headers: {X-Dog: {values: [a], secrets: [b], files: [" + file + "]}}}",
			probe.Params{}, `PUT /a?b=c host=dog.example close=true encoding="" agent="me" dog=["a" "b" "lassie"] type="text/dog" body="woof"`,
		},
		{"hostname", "{}", probe.Params{Hostname: "dog.example"}, `GET /a?b=c host=dog.example close=true encoding="" agent="Collie" dog=[] type="" body=""`},
		{"body from a file", "{method: POST, body_file: " + file + "}", probe.Params{}, `POST /a?b=c host=ADDRESS close=true encoding="" agent="Collie" dog=[] type="" body="lassie\n"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := look(t, section(t, "http", c.options), probe.Request{Target: "http://" + address + "/a?b=c", Params: c.params})
			want(t, got, probe.None, "")
			if request := <-seen; request != strings.ReplaceAll(c.want, "ADDRESS", address) {
				t.Errorf("got  %s\nwant %s", request, c.want)
			}
		})
	}
	t.Run("two hosts", func(t *testing.T) {
		m := section(t, "http", "{headers: {Host: a.example}}")
		got := look(t, m, probe.Request{Target: address, Params: probe.Params{Hostname: "b.example"}})
		want(t, got, probe.Protocol, "the Host header is set twice")
	})
}

func TestHTTPSecretsByFile(t *testing.T) {
	s := httptest.NewServer(dogHouse())
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "password")
	m := section(t, "http", "{basic_auth: {username: collie, password_file: "+file+"}}")
	want(t, look(t, m, probe.Request{Target: s.URL + "/auth"}), probe.Auth, "read the credentials")
	for _, step := range []struct {
		text   string
		reason probe.Reason
	}{{"wrong\n", probe.Auth}, {"secret\n", probe.None}} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, look(t, m, probe.Request{Target: s.URL + "/auth"}), step.reason, "")
	}
}

// TestHTTPCredentialsStayHome follows a redirect to another host.
func TestHTTPCredentialsStayHome(t *testing.T) {
	var met atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { met.Store(r.Header.Get("Authorization")) }))
	defer other.Close()
	s := httptest.NewServer(dogHouse())
	t.Cleanup(s.Close)
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "other.example", 1)
	m := section(t, "http", "{authorization: {credentials: secret}}")
	got := look(t, m, probe.Request{Target: s.URL + "/elsewhere?to=" + url.QueryEscape(elsewhere), Resolver: names{"other.example": {"127.0.0.1"}}})
	want(t, got, probe.None, "")
	if met.Load() != "" {
		t.Errorf("the other host was told %q", met.Load())
	}
}

func TestHTTPEvidence(t *testing.T) {
	address := listen(t, "tcp", answer("HTTP/1.1 503 Out of dogs\r\nServer: kennel\r\nSet-Cookie: id=secret1\r\nX-Auth-Token: secret2\r\n"+
		"Location: /x?token=secret3\r\n\r\nall are \xff asleep"))
	m := section(t, "http", "{authorization: {credentials: secret4}, valid_status_codes: [200]}")
	got := look(t, m, probe.Request{Target: "http://me:secret5@" + address + "/a?key=secret6"})
	want(t, got, probe.Status, "503")
	expected := "> GET http://me:<secret>@" + address + "/a?...\n< HTTP/1.1 503 Out of dogs\n< Location: /x?...\n< Server: kennel\n" +
		"< Set-Cookie: <redacted>\n< X-Auth-Token: <redacted>\n\nall are � asleep"
	if got.Evidence != expected {
		t.Errorf("got\n%s\nwant\n%s", got.Evidence, expected)
	}
}

func TestHTTPEvidenceIsBounded(t *testing.T) {
	head := "HTTP/1.1 500 x\r\n"
	for i := range 500 {
		head += fmt.Sprintf("X-%d: %s\r\n", i, strings.Repeat("é", 50))
	}
	got := look(t, section(t, "http", "{}"), probe.Request{Target: listen(t, "tcp", answer(head+"\r\n"+strings.Repeat("y", 1<<20)))})
	want(t, got, probe.Status, "500")
	if !strings.Contains(got.Evidence, "X-0: ") || !strings.HasSuffix(got.Evidence, "yyyy") {
		t.Errorf("the evidence is %q", got.Evidence)
	}
}

func TestHTTPProxy(t *testing.T) {
	s := httptest.NewServer(dogHouse())
	t.Cleanup(s.Close)
	ca := newAuthority(t)
	secure := httpsServer(t, ca.server(t, time.Now().Add(time.Hour)), "http/1.1")
	var used atomic.Value
	proxy := listen(t, "tcp", func(conn net.Conn) { forward(conn, &used) })
	secureProxy := serverTLS(t, ca.server(t, time.Now().Add(time.Hour)), func(conn net.Conn) { forward(conn, &used) })
	good := names{"good.example": {"127.0.0.1"}}
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, c := range []struct {
		name, options, target string
		reason                probe.Reason
		cause, used           string
	}{
		{"http", "{proxy_url: http://PROXY}", s.URL + "/cat", probe.None, "", "GET " + s.URL + "/cat "},
		{"http with a password", "{proxy_url: http://u:p@PROXY}", s.URL, probe.None, "", "GET " + s.URL + "/ Basic dTpw"},
		{"https", "{proxy_url: http://u:p@PROXY, tls_config: {ca_file: CA}}", secure, probe.None, "", "CONNECT " + strings.TrimPrefix(secure, "https://") + " Basic dTpw"},
		{"connect header", "{proxy_url: http://PROXY, proxy_connect_header: {Proxy-Authorization: [me]}, tls_config: {ca_file: CA}}", secure, probe.None, "", "CONNECT " + strings.TrimPrefix(secure, "https://") + " me"},
		{"secure proxy", "{proxy_url: https://SECURE, tls_config: {ca_file: CA}}", s.URL, probe.None, "", "GET " + s.URL + "/ "},
		{"no proxy", "{proxy_url: http://PROXY, no_proxy: good.example}", "http://good.example" + port, probe.None, "", ""},
		{"left to the proxy", "{proxy_url: http://PROXY, skip_resolve_phase_with_proxy: true}", "http://nosuch.example/refuse", probe.Status, "502", "GET http://nosuch.example/refuse "},
		{"not left to the proxy", "{proxy_url: http://PROXY}", "http://nosuch.example/", probe.DNS, "no such host", ""},
		{"refused by the proxy", "{proxy_url: http://PROXY}", "https://good.example:1", probe.Protocol, "the proxy answered 502", "CONNECT 127.0.0.1:1 "},
		{"no such proxy", "{proxy_url: \"http://" + refused(t) + "\"}", s.URL, probe.Refused, "connection refused", ""},
		{"metadata by the proxy", "{proxy_url: http://PROXY}", "http://169.254.169.254/", probe.Unreachable, "link-local", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			used.Store("")
			options := strings.NewReplacer("PROXY", proxy, "SECURE", secureProxy, "CA", ca.File).Replace(c.options)
			got := look(t, section(t, "http", options), probe.Request{Target: c.target, Resolver: good, Dial: probe.GuardMetadata})
			want(t, got, c.reason, c.cause)
			if used.Load() != c.used {
				t.Errorf("the proxy was asked %q, want %q", used.Load(), c.used)
			}
		})
	}
}

// forward is a proxy for one connection.
func forward(conn net.Conn, used *atomic.Value) {
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	used.Store(r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization"))
	server, err := net.Dial("tcp", r.Host)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer server.Close()
	if r.Method == http.MethodConnect {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(server, in) }()
	} else if r.Write(server) != nil {
		return
	}
	_, _ = io.Copy(conn, server)
}
