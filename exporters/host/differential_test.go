package host_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/colliehq/collie/exporters/probe"
)

// pair is a probe that blackbox_exporter and Collie both make.
type pair struct{ name, module, target, success string }

// TestSameAsBlackbox asks Debian's blackbox_exporter and Collie for the same
// probes with one module file: the success is the same, and so are all series
// of blackbox_exporter but those that measure time.
func TestSameAsBlackbox(t *testing.T) {
	needProgram(t, "prometheus-blackbox-exporter")
	ca := newAuthority(t)
	file := differentialModules(ca.File)
	blackbox := startBlackbox(t, file)
	modules := load(t, file)
	for _, p := range differentialPairs(t, ca) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			theirs := askBlackbox(t, blackbox, p)
			ours := series(look(t, modules[p.module], probe.Request{Target: p.target}))
			if theirs["probe_success"] != p.success || ours["probe_success"] != p.success {
				t.Errorf("probe_success is %s with us, %s with blackbox_exporter, want %s", ours["probe_success"], theirs["probe_success"], p.success)
			}
			for name, value := range ours {
				ours[serial.ReplaceAllString(name, "")] = value // newer than Debian's version
			}
			for name, value := range theirs {
				if got, ok := ours[name]; !ok || got != value && !measured.MatchString(name) {
					t.Errorf("%s is %q with us, %q with blackbox_exporter", name, got, value)
				}
			}
		})
	}
}

// measured are the series whose values differ from probe to probe.
var measured = regexp.MustCompile(`_duration_seconds|_lookup_time_seconds`)

func differentialModules(ca string) string {
	return strings.ReplaceAll(`modules:
  http: {prober: http, timeout: 1s}
  http4only: {prober: http, timeout: 1s, http: {preferred_ip_protocol: ip4, ip_protocol_fallback: false}}
  http6only: {prober: http, timeout: 1s, http: {preferred_ip_protocol: ip6, ip_protocol_fallback: false}}
  http404: {prober: http, timeout: 1s, http: {valid_status_codes: [404]}}
  https: {prober: http, timeout: 1s, http: {tls_config: {ca_file: CA}}}
  https1: {prober: http, timeout: 1s, http: {enable_http2: false, tls_config: {ca_file: CA}}}
  insecure: {prober: http, timeout: 1s, http: {tls_config: {insecure_skip_verify: true}}}
  nossl: {prober: http, timeout: 1s, http: {fail_if_ssl: true, tls_config: {ca_file: CA}}}
  onlyssl: {prober: http, timeout: 1s, http: {fail_if_not_ssl: true}}
  nofollow: {prober: http, timeout: 1s, http: {follow_redirects: false}}
  nofollow302: {prober: http, timeout: 1s, http: {follow_redirects: false, valid_status_codes: [302]}}
  body: {prober: http, timeout: 1s, http: {fail_if_body_not_matches_regexp: ["good dog"]}}
  nobody: {prober: http, timeout: 1s, http: {fail_if_body_matches_regexp: ["good dog"]}}
  header: {prober: http, timeout: 1s, http: {fail_if_header_not_matches: [{header: X-Dog, regexp: "^collie$"}]}}
  noheader: {prober: http, timeout: 1s, http: {fail_if_header_matches: [{header: X-Dog, regexp: collie, allow_missing: true}]}}
  limit: {prober: http, timeout: 1s, http: {body_size_limit: 4B}}
  gzip: {prober: http, timeout: 1s, http: {compression: gzip}}
  version: {prober: http, timeout: 1s, http: {valid_http_versions: ["HTTP/2.0"]}}
  post: {prober: http, timeout: 1s, http: {method: POST, body: "woof", headers: {Content-Type: text/plain}}}
  head: {prober: http, timeout: 1s, http: {method: HEAD}}
  auth: {prober: http, timeout: 1s, http: {basic_auth: {username: collie, password: secret}}}
  bearer: {prober: http, timeout: 1s, http: {authorization: {credentials: secret}}}
  tcp: {prober: tcp, timeout: 1s}
  tcptls: {prober: tcp, timeout: 1s, tcp: {tls: true, tls_config: {ca_file: CA}}}
  banner: {prober: tcp, timeout: 1s, tcp: {query_response: [{expect: "^220 (.*)$", send: "HELO ${1}"}, {expect: "^250"}]}}
  starttls: {prober: tcp, timeout: 1s, tcp: {tls_config: {ca_file: CA}, query_response: [{send: STARTTLS}, {expect: "^220"}, {starttls: true}, {expect: "^secure"}]}}
  icmp: {prober: icmp, timeout: 1s}
  icmp6: {prober: icmp, timeout: 1s, icmp: {preferred_ip_protocol: ip6, ip_protocol_fallback: false, payload_size: 1000}}
  dns: {prober: dns, timeout: 1s, dns: {query_name: good.example, query_type: A, validate_answer_rrs: {fail_if_not_matches_regexp: ["good.example.\t300\tIN\tA\t127.0.0.1"]}}}
  dnstcp: {prober: dns, timeout: 1s, dns: {transport_protocol: tcp, query_name: good.example, query_type: SOA}}
  dnsall: {prober: dns, timeout: 1s, dns: {query_name: good.example, query_type: A, validate_answer_rrs: {fail_if_all_match_regexp: ["127.0.0.1"]}}}
  dnsnone: {prober: dns, timeout: 1s, dns: {query_name: good.example, query_type: A, validate_answer_rrs: {fail_if_none_matches_regexp: ["127.0.0.9"]}}}
  nxdomain: {prober: dns, timeout: 1s, dns: {query_name: missing.example, query_type: A}}
  nxdomainok: {prober: dns, timeout: 1s, dns: {query_name: missing.example, query_type: A, valid_rcodes: [NXDOMAIN]}}
`, "CA", ca)
}

func differentialPairs(t *testing.T, ca *authority) []pair {
	plain := httptest.NewServer(dogHouse())
	t.Cleanup(plain.Close)
	six := httptest.NewUnstartedServer(dogHouse())
	var err error
	if six.Listener, err = net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Fatal(err)
	}
	six.Start()
	t.Cleanup(six.Close)
	secure := httpsServer(t, ca.server(t, time.Now().Add(50*time.Hour)), "h2", "http/1.1")
	expired := httpsServer(t, ca.server(t, time.Now().Add(-time.Hour)), "http/1.1")
	stranger := httpsServer(t, newAuthority(t).server(t, time.Now().Add(50*time.Hour)), "http/1.1")
	notTLS := "https://" + strings.TrimPrefix(plain.URL, "http://")
	server := dnsServer(t)
	return []pair{
		{"good", "http", plain.URL, "1"},
		{"no scheme", "http", strings.TrimPrefix(plain.URL, "http://"), "1"},
		{"404", "http", plain.URL + "/404", "0"},
		{"404 wanted", "http404", plain.URL + "/404", "1"},
		{"500", "http", plain.URL + "/500", "0"},
		{"refused", "http", "http://" + refused(t), "0"},
		{"black-holed", "http", "http://" + blackhole(t), "0"},
		{"slow", "http", plain.URL + "/slow", "0"},
		{"slow body", "http", plain.URL + "/slowbody", "0"},
		{"good TLS over HTTP/2", "https", secure, "1"},
		{"good TLS over HTTP/1.1", "https1", secure, "1"},
		{"unknown authority", "http", secure, "0"},
		{"another authority", "https", stranger, "0"},
		{"unknown authority accepted", "insecure", stranger, "1"},
		{"expired", "https", expired, "0"},
		{"TLS with a plain server", "https", notTLS, "0"},
		{"TLS not wanted", "nossl", secure, "0"},
		{"TLS wanted", "onlyssl", plain.URL, "0"},
		{"redirecting", "http", plain.URL + "/redirect", "1"},
		{"redirecting to another host", "http", plain.URL + "/elsewhere?to=" + url.QueryEscape(six.URL), "1"},
		{"redirecting to what is refused", "http", plain.URL + "/elsewhere?to=" + url.QueryEscape("http://"+refused(t)), "0"},
		{"redirecting with a cookie", "http", plain.URL + "/login", "1"},
		{"redirect loop", "http", plain.URL + "/loop", "0"},
		{"redirect not followed", "nofollow", plain.URL + "/redirect", "0"},
		{"redirect not followed, wanted", "nofollow302", plain.URL + "/redirect", "1"},
		{"right body", "body", plain.URL, "1"},
		{"wrong body", "body", plain.URL + "/cat", "0"},
		{"body that must not be", "nobody", plain.URL, "0"},
		{"right header", "header", plain.URL, "1"},
		{"no header", "header", plain.URL + "/cat", "0"},
		{"header that must not be", "noheader", plain.URL, "0"},
		{"too long a body", "limit", plain.URL, "0"},
		{"short body", "limit", plain.URL + "/cat", "1"},
		{"compressed", "gzip", plain.URL + "/gzip", "1"},
		{"not compressed", "gzip", plain.URL, "0"},
		{"another HTTP version", "version", plain.URL, "0"},
		{"chunked", "http", plain.URL + "/chunked", "1"},
		{"cut off", "http", plain.URL + "/cut", "0"},
		{"no answer", "http", plain.URL + "/hangup", "0"},
		{"last modified", "http", plain.URL + "/modified", "1"},
		{"POST", "post", plain.URL + "/echo", "1"},
		{"HEAD", "head", plain.URL, "1"},
		{"credentials", "auth", plain.URL + "/auth", "1"},
		{"no credentials", "http", plain.URL + "/auth", "0"},
		{"credentials in the URL", "http", strings.Replace(plain.URL, "//", "//collie:secret@", 1) + "/auth", "1"},
		{"bearer", "bearer", plain.URL + "/bearer", "1"},
		{"v6 only", "http", six.URL, "1"},
		{"v6 only, by IPv4", "http4only", six.URL, "0"},
		{"v6 only, by IPv6", "http6only", six.URL, "1"},
		{"v4 only, by IPv6", "http6only", plain.URL, "0"},
		{"name that does not exist", "http", "http://nosuch.invalid/", "0"},
		{"not a URL", "http", "http://bad host/", "0"},
		{"tcp", "tcp", strings.TrimPrefix(plain.URL, "http://"), "1"},
		{"tcp refused", "tcp", refused(t), "0"},
		{"tcp black-holed", "tcp", blackhole(t), "0"},
		{"tcp without a port", "tcp", "127.0.0.1", "0"},
		{"tcp with TLS", "tcptls", strings.TrimPrefix(secure, "https://"), "1"},
		{"tcp with expired TLS", "tcptls", strings.TrimPrefix(expired, "https://"), "0"},
		{"banner", "banner", listen(t, "tcp", smtp("220 dog house", "250 woof")), "1"},
		{"wrong banner", "banner", listen(t, "tcp", smtp("500 cat", "")), "0"},
		{"STARTTLS", "starttls", listen(t, "tcp", startTLS(ca.server(t, time.Now().Add(50*time.Hour)))), "1"},
		{"ping", "icmp", "127.0.0.1", "1"},
		{"ping by IPv6", "icmp6", "::1", "1"},
		{"ping of a name that does not exist", "icmp", "nosuch.invalid", "0"},
		{"dns", "dns", server, "1"},
		{"dns over TCP", "dnstcp", server, "1"},
		{"all records match", "dnsall", server, "1"},
		{"no record matches", "dnsnone", server, "0"},
		{"NXDOMAIN", "nxdomain", server, "0"},
		{"NXDOMAIN wanted", "nxdomainok", server, "1"},
		{"dns without a server", "dnstcp", refused(t), "0"},
	}
}

// dogHouse answers well at /, and in many other ways elsewhere.
func dogHouse() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, f func(http.ResponseWriter, *http.Request)) { mux.HandleFunc(path, f) }
	text := func(s string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	handle("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Dog", "collie")
		_, _ = io.WriteString(w, "what a good dog")
	})
	handle("/cat", text("cat"))
	handle("/404", http.NotFound)
	handle("/500", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
	handle("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	handle("/slowbody", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "wait")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	handle("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	handle("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusMovedPermanently)
	})
	handle("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	handle("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("dog"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "dog", Value: "collie"})
			http.Redirect(w, r, "/login", http.StatusFound)
		}
	})
	handle("/gzip", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, gzipped("what a good dog")) })
	handle("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "woof")
			_ = http.NewResponseController(w).Flush()
		}
	})
	handle("/cut", func(w http.ResponseWriter, _ *http.Request) {
		hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nwoof")
	})
	handle("/hangup", func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") })
	handle("/modified", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
	})
	handle("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	handle("/auth", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "collie" || password != "secret" {
			http.Error(w, "who are you", http.StatusUnauthorized)
		}
	})
	handle("/bearer", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "who are you", http.StatusUnauthorized)
		}
	})
	return mux
}

func hijack(w http.ResponseWriter, answer string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, answer)
	_ = conn.Close()
}

func httpsServer(t *testing.T, config *tls.Config, protocols ...string) string {
	s := httptest.NewUnstartedServer(dogHouse())
	config.NextProtos = protocols
	s.TLS, s.EnableHTTP2 = config, protocols[0] == "h2"
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func smtp(banner, answer string) func(net.Conn) {
	return func(conn net.Conn) {
		fmt.Fprintf(conn, "%s\r\n", banner)
		if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			fmt.Fprintf(conn, "%s\r\n", answer)
		}
	}
}

func startTLS(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			return
		}
		fmt.Fprintf(conn, "220 go ahead\n")
		fmt.Fprintf(tls.Server(conn, config), "secure\n")
	}
}

// dnsServer knows good.example, over UDP and TCP at one address.
func dnsServer(t testing.TB) string {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		switch {
		case q.Question[0].Name != "good.example.":
			a.SetRcode(q, dns.RcodeNameError)
		case q.Question[0].Qtype == dns.TypeSOA:
			a.Answer = append(a.Answer, record("good.example. 300 IN SOA ns.good.example. dog.good.example. 2026112201 1 1 1 1"))
		default:
			a.Answer = append(a.Answer, record("good.example. 300 IN A 127.0.0.1"))
			a.Ns = append(a.Ns, record("good.example. 300 IN NS ns.good.example."))
			a.Extra = append(a.Extra, record("ns.good.example. 300 IN A 127.0.0.2"))
		}
		_ = w.WriteMsg(a)
	})
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			_ = l.Close()
			continue // someone has the number for UDP
		}
		for _, s := range []*dns.Server{{Listener: l, Handler: handler}, {PacketConn: packets, Handler: handler}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { _ = s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return l.Addr().String()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return ""
}

func record(text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return rr
}

// needProgram skips the test if a Debian program is missing, but not in CI.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed; on Debian: apt-get install %s", name, strings.Replace(name, "promtool", "prometheus", 1))
	}
	t.Skipf("%s is not installed; on Debian: apt-get install %s", name, strings.Replace(name, "promtool", "prometheus", 1))
}

// startBlackbox runs Debian's blackbox_exporter and gives its address.
func startBlackbox(t *testing.T, modules string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "modules.yml")
	if err := os.WriteFile(file, []byte(modules), 0o600); err != nil {
		t.Fatal(err)
	}
	address := refused(t)
	cmd := exec.Command("prometheus-blackbox-exporter", "--config.file="+file, "--web.listen-address="+address)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for {
		select {
		case <-ended:
			t.Fatalf("blackbox_exporter has ended: %s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return address
		}
	}
}

var serial = regexp.MustCompile(`,serialnumber="[^"]*"`)

// askBlackbox gives the series of one probe.
func askBlackbox(t *testing.T, address string, p pair) map[string]string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/probe?" + url.Values{"module": {p.module}, "target": {p.target}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", resp.Status, body, err)
	}
	found := map[string]string{}
	for line := range strings.SplitSeq(string(body), "\n") {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			found[line[:at]] = line[at+1:]
		}
	}
	return found
}
