package host_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/colliehq/collie/exporters/probe"
)

// dnsBytes answers each datagram with what f makes of it.
func dnsBytes(t testing.TB, f func(query []byte) [][]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 65535)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, b := range f(buffer[:n]) {
				_, _ = conn.WriteTo(b, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// reply packs an answer to the query with the response code.
func reply(query []byte, rcode int, rrs ...string) []byte {
	var q dns.Msg
	if err := q.Unpack(query); err != nil {
		panic(err)
	}
	a := new(dns.Msg)
	a.SetRcode(&q, rcode)
	for _, text := range rrs {
		a.Answer = append(a.Answer, record(text))
	}
	packed, err := a.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

func TestDNSReasons(t *testing.T) {
	fixed := func(rcode int, rrs ...string) string {
		return dnsBytes(t, func(q []byte) [][]byte { return [][]byte{reply(q, rcode, rrs...)} })
	}
	forged := dnsBytes(t, func(q []byte) [][]byte {
		wrong := reply(q, dns.RcodeNameError)
		binary.BigEndian.PutUint16(wrong, binary.BigEndian.Uint16(wrong)+1)
		return [][]byte{{1}, wrong, reply(q, dns.RcodeSuccess)}
	})
	two := []string{"good.example. 60 IN A 127.0.0.1", "good.example. 60 IN A 192.0.2.7"}
	for _, c := range []struct {
		name, options, target string
		reason                probe.Reason
		cause                 string
	}{
		{"good", "", fixed(dns.RcodeSuccess), probe.None, ""},
		{"any code that is wanted", "valid_rcodes: [NOERROR, NXDOMAIN]", fixed(dns.RcodeNameError), probe.None, ""},
		{"missing", "", fixed(dns.RcodeNameError), probe.Status, "answered NXDOMAIN to A good.example., not NOERROR"},
		{"broken server", "", fixed(dns.RcodeServerFailure), probe.Status, "answered SERVFAIL"},
		{"refused by the server", "", fixed(dns.RcodeRefused), probe.Refused, "answered REFUSED"},
		{"no server", "", refused(t), probe.Refused, "connection refused"},
		{"silent server", "", dnsBytes(t, func([]byte) [][]byte { return nil }), probe.Timeout, "no answer in time"},
		{"unknown name of the server", "", "nosuch.example", probe.DNS, "lookup nosuch.example"},
		{"late and forged answers", "", forged, probe.None, ""},
		{"garbage", "", dnsBytes(t, func(q []byte) [][]byte { return [][]byte{append(q[:12:12], 0xff, 0xff, 0xff)} }), probe.Protocol, "cannot be decoded"},
		{"the query itself", "", dnsBytes(t, func(q []byte) [][]byte { return [][]byte{q} }), probe.Protocol, "is a query itself"},
		{"metadata", "", "169.254.169.253", probe.Unreachable, "link-local"},
		{"matches", "validate_answer_rrs: {fail_if_matches_regexp: [192]}", fixed(0, two...), probe.Body, "matches"},
		{"not matches", "validate_answer_rrs: {fail_if_not_matches_regexp: [192]}", fixed(0, two...), probe.Body, "does not match"},
		{"all match", `validate_answer_rrs: {fail_if_all_match_regexp: ["\tA\t"]}`, fixed(0, two...), probe.None, ""},
		{"not all match", "validate_answer_rrs: {fail_if_all_match_regexp: [192]}", fixed(0, two...), probe.Body, "not all records match"},
		{"one matches", "validate_answer_rrs: {fail_if_none_matches_regexp: [192]}", fixed(0, two...), probe.None, ""},
		{"none matches", "validate_answer_rrs: {fail_if_none_matches_regexp: [10.0]}", fixed(0, two...), probe.Body, "no record matches"},
		{"no records", "validate_authority_rrs: {fail_if_none_matches_regexp: [a]}", fixed(0, two...), probe.Body, "authority section: it has no records to match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			options := "{query_name: good.example, query_type: A}"
			if c.options != "" {
				options = strings.TrimSuffix(options, "}") + ", " + c.options + "}"
			}
			m := section(t, "dns", options)
			if c.reason == probe.Timeout {
				m.Timeout = time.Second
			}
			got := look(t, m, probe.Request{Target: c.target, Resolver: names{}, Dial: probe.GuardMetadata})
			want(t, got, c.reason, c.cause)
		})
	}
}

func TestDNSOverTLS(t *testing.T) {
	ca := newAuthority(t)
	target := serverTLS(t, ca.server(t, time.Now().Add(time.Hour)), func(conn net.Conn) {
		head := make([]byte, 2)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(head))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer := reply(query, 0, "good.example. 60 IN A 127.0.0.1")
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	})
	options := "{query_name: good.example, query_type: A, transport_protocol: tcp, dns_over_tls: true, tls_config: {ca_file: CA}}"
	got := look(t, section(t, "dns", strings.ReplaceAll(options, "CA", ca.File)), probe.Request{Target: target})
	want(t, got, probe.None, "")
	wantSeries(t, got, map[string]string{"probe_dns_answer_rrs": "1", "probe_dns_query_succeeded": "1"})
	want(t, look(t, section(t, "dns", strings.ReplaceAll(options, ", tls_config: {ca_file: CA}", "")), probe.Request{Target: target}), probe.TLS, "unknown authority")
}
