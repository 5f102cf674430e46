package host_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// talk serves lines: those that begin with "> " are sent, "< " are waited for,
// anything else is sent as it is.
func talk(script ...string) func(net.Conn) {
	return func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for _, step := range script {
			if want, ok := strings.CutPrefix(step, "< "); ok {
				if line, err := in.ReadString('\n'); err != nil || line != want+"\n" {
					fmt.Fprintf(conn, "500 expected %q, got %q\n", want, line)
					return
				}
				continue
			}
			_, _ = io.WriteString(conn, strings.TrimPrefix(step, "> "))
		}
	}
}

func TestTCPReasons(t *testing.T) {
	ca := newAuthority(t)
	good := ca.server(t, time.Now().Add(time.Hour))
	hang := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for _, c := range []struct {
		name, options, target string
		reason                probe.Reason
		cause                 string
	}{
		{"good", "{}", listen(t, "tcp", hang), probe.None, ""},
		{"refused", "{}", refused(t), probe.Refused, "connection refused"},
		{"black-holed", "{}", blackhole(t), probe.Timeout, "no answer in time"},
		{"unknown name", "{}", "nosuch.example:22", probe.DNS, "lookup nosuch.example: no such host"},
		{"no port", "{}", "127.0.0.1", probe.Protocol, `target "127.0.0.1" is not HOST:PORT`},
		{"metadata", "{}", "169.254.169.254:80", probe.Unreachable, "link-local"},
		{"our address does not exist", "{source_ip_address: 192.0.2.1}", refused(t), probe.Unreachable, "cannot assign requested address"},
		{"our address", "{source_ip_address: 127.0.0.5}", listen(t, "tcp", hang), probe.None, ""},
		{"line", "{query_response: [{expect: ^SSH}]}", listen(t, "tcp", talk("hello\r\nSSH-2.0\r\n")), probe.None, ""},
		{"last line without an end", "{query_response: [{expect: ^SSH-2.0$}]}", listen(t, "tcp", talk("SSH-2.0")), probe.None, ""},
		{"other line", "{query_response: [{expect: ^SSH}]}", listen(t, "tcp", talk("hello\n")), probe.Body, "closed the connection before a line matched"},
		{"no line", "{query_response: [{expect: ^SSH}]}", listen(t, "tcp", hang), probe.Timeout, `wait for a line that matches "^SSH": no answer in time`},
		{"endless line", "{query_response: [{expect: ^SSH}]}", listen(t, "tcp", talk(strings.Repeat("x", 1<<20))), probe.Protocol, "longer than 65536 bytes"},
		{
			"expanded", `{query_response: [{expect: "PING :([^ ]+)", send: "PONG ${1}"}, {expect: "^001"}]}`,
			listen(t, "tcp", talk("PING :abc\n", "< PONG abc", "001 welcome\n")), probe.None, "",
		},
		{"bytes", "{query_response: [{expect_bytes: SN}, {expect: ^x$}]}", listen(t, "tcp", talk("SNx\n")), probe.None, ""},
		{"other bytes", "{query_response: [{expect_bytes: S}]}", listen(t, "tcp", talk("N")), probe.Body, `expected the bytes "S", got "N"`},
		{"few bytes", "{query_response: [{expect_bytes: SSSS}]}", listen(t, "tcp", talk("SS")), probe.Protocol, "closed the connection"},
		{"tls", "{tls: true, tls_config: {ca_file: CA}}", serverTLS(t, good, hang), probe.None, ""},
		{"tls, unknown authority", "{tls: true}", serverTLS(t, good, hang), probe.TLS, "TLS handshake: tls: failed to verify certificate"},
		{"tls, other name", "{tls: true, tls_config: {ca_file: CA, server_name: bad.example}}", serverTLS(t, good, hang), probe.TLS, "not bad.example"},
		{"tls, plain server", "{tls: true}", listen(t, "tcp", talk("220 no TLS here\n")), probe.TLS, "TLS handshake"},
		{"tls, silent server", "{tls: true}", listen(t, "tcp", hang), probe.Timeout, "TLS handshake: no answer in time"},
		{"starttls, silent server", "{query_response: [{starttls: true}]}", listen(t, "tcp", hang), probe.Timeout, "STARTTLS: TLS handshake: no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := section(t, "tcp", strings.ReplaceAll(c.options, "CA", ca.File))
			if c.reason == probe.Timeout {
				m.Timeout = time.Second
			}
			got := look(t, m, probe.Request{Target: c.target, Resolver: names{}, Dial: probe.GuardMetadata})
			want(t, got, c.reason, c.cause)
		})
	}
}

func TestTCPLabels(t *testing.T) {
	m := section(t, "tcp", `{query_response: [{expect: "^SSH-2.0-([^ -]+)(?: (.*))?$", labels: [{name: ssh_version, value: "${1}"}, {name: ssh_comments, value: "${2}"}]}]}`)
	got := look(t, m, probe.Request{Target: listen(t, "tcp", talk("SSH-2.0-OpenSSH_9.2 Debian\xff\r\n"))})
	want(t, got, probe.None, "")
	wantSeries(t, got, map[string]string{`probe_expect_info{ssh_version="OpenSSH_9.2",ssh_comments="Debian�"}`: "1"})
}

func TestTCPEvidence(t *testing.T) {
	m := section(t, "tcp", `{query_response: [{expect: ^220}, {send: "PASS hunter2"}, {expect: ^230}]}`)
	got := look(t, m, probe.Request{Target: listen(t, "tcp", talk("220 hello\n", "< PASS hunter2", "530 no\n"))})
	want(t, got, probe.Body, "before a line matched")
	if want := "< 220 hello\n> PASS ...\n< 530 no\n"; got.Evidence != want {
		t.Errorf("the evidence is %q, want %q", got.Evidence, want)
	}
	wantSeries(t, got, map[string]string{"probe_failed_due_to_regex": "1", "probe_failed_due_to_bytes": "0", "probe_success": "0"})
}

// TestTCPHostname probes a virtual host by its address.
func TestTCPHostname(t *testing.T) {
	ca := newAuthority(t)
	target := serverTLS(t, ca.server(t, time.Now().Add(time.Hour)), func(net.Conn) {})
	m := section(t, "tcp", "{tls: true, tls_config: {ca_file: "+ca.File+"}}")
	want(t, look(t, m, probe.Request{Target: target, Params: probe.Params{Hostname: "good.example"}}), probe.None, "")
	want(t, look(t, m, probe.Request{Target: target, Params: probe.Params{Hostname: "bad.example"}}), probe.TLS, "bad.example")
}

func TestTLSKind(t *testing.T) {
	ca := newAuthority(t)
	end := time.Now().Add(50 * time.Hour)
	good := serverTLS(t, ca.server(t, end), func(net.Conn) {})
	expired := serverTLS(t, ca.server(t, time.Now().Add(-time.Hour)), func(net.Conn) {})
	for _, c := range []struct {
		name, options, target string
		reason                probe.Reason
		cause                 string
		seen                  bool
	}{
		{"good", "{tls_config: {ca_file: CA}}", good, probe.None, "", true},
		{"soon", "{tls_config: {ca_file: CA}, fail_if_expires_within: 1w}", good, probe.TLS, "in less than 1w", true},
		{"later", "{tls_config: {ca_file: CA}, fail_if_expires_within: 1d}", good, probe.None, "", true},
		{"expired", "{tls_config: {ca_file: CA}}", expired, probe.TLS, "expired", true},
		{"expired, not verified", "{tls_config: {insecure_skip_verify: true}}", expired, probe.TLS, "expired on", true},
		{"unknown authority", "{}", good, probe.TLS, "unknown authority", true},
		{"not verified", "{tls_config: {insecure_skip_verify: true}}", good, probe.None, "", true},
		{"other name", "{tls_config: {ca_file: CA, server_name: bad.example}}", good, probe.TLS, "bad.example", true},
		{"too old a version", "{tls_config: {ca_file: CA, max_version: TLS11, min_version: TLS10}}", good, probe.TLS, "protocol version", false},
		{"refused", "{}", refused(t), probe.Refused, "connection refused", false},
		{"plain server", "{}", listen(t, "tcp", talk("hello\n")), probe.TLS, "TLS handshake", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := look(t, section(t, "tls", strings.ReplaceAll(c.options, "CA", ca.File)), probe.Request{Target: c.target})
			want(t, got, c.reason, c.cause)
			if _, seen := series(got)["probe_ssl_earliest_cert_expiry"]; seen != c.seen {
				t.Errorf("the expiry is exported: %t, want %t", seen, c.seen)
			}
		})
	}
	got := look(t, section(t, "tls", "{tls_config: {ca_file: "+ca.File+"}}"), probe.Request{Target: good})
	for _, f := range got.Metrics.Families() {
		if f.Name == "probe_ssl_earliest_cert_expiry" && f.Samples[0].Value != float64(end.Unix()) {
			t.Errorf("the certificate ends at %v, want %d", f.Samples[0].Value, end.Unix())
		}
	}
}
