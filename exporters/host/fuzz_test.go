package host

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/colliehq/collie/exporters/probe"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// wire is a connection to a peer that says what it says, whatever it is told.
type wire struct {
	io.Reader
	net.Conn
}

func (w wire) Read(b []byte) (int, error)  { return w.Reader.Read(b) }
func (w wire) Write(b []byte) (int, error) { return len(b), nil }
func (w wire) SetDeadline(time.Time) error { return nil }
func (w wire) Close() error                { return nil }

// FuzzHTTPAnswer reads and judges what a server may answer.
func FuzzHTTPAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwoof")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwoof\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 103 Early\r\n\r\nHTTP/9.9 -1 \x00\r\nLast-Modified: x\r\n\r\n")
	f.Add("HTTP/1.0 302 Found\r\nLocation: ://\r\nSet-Cookie: a\r\n\r\n\x1f\x8b")
	f.Fuzz(func(t *testing.T, text string) {
		for _, compression := range []string{"", "gzip", "deflate"} {
			p := &httpProbe{options: httpOptions{Method: "GET", Compression: compression, BodySizeLimit: 100, BodyMatches: []pattern{}}}
			x := &exchange{ctx: t.Context(), probe: p, req: probe.Request{Log: slog.New(slog.DiscardHandler)}}
			r, err := http.NewRequest(http.MethodGet, "http://dog.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			h := &hop{request: r}
			x.hops = append(x.hops, h)
			resp, err := h.http1(wire{Reader: strings.NewReader(text)}, r, false)
			var result probe.Result
			if err != nil {
				result = x.end(x.fault(err))
			} else {
				result = x.end(x.judge(resp))
			}
			if result.Success == (result.Reason != probe.None) || x.seen.bodyLength > 100 {
				t.Fatalf("%+v", result)
			}
		}
	})
}

// FuzzDNSAnswer decodes and judges what a name server may answer.
func FuzzDNSAnswer(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("dog.example.", dns.TypeANY)
	a := new(dns.Msg)
	a.SetReply(q)
	for _, text := range []string{"dog.example. 1 IN SOA a. b. 1 1 1 1 1", "dog.example. 1 IN TXT \"woof\"", "dog.example. 1 IN AAAA ::1"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		a.Answer = append(a.Answer, rr)
	}
	packed, err := a.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{0, 0, 0x80})
	rules := rrRules{}
	for _, list := range []*[]pattern{&rules.Matches, &rules.AllMatch, &rules.NotMatches, &rules.NoneMatches} {
		p := pattern{}
		if err := p.UnmarshalText([]byte("woof")); err != nil {
			f.Fatal(err)
		}
		*list = append(*list, p)
	}
	p := &dnsProbe{options: dnsOptions{ValidateAnswer: rules, ValidateAuthority: rules}, query: dns.Question{Qtype: dns.TypeSOA}}
	f.Fuzz(func(_ *testing.T, packed []byte) {
		if len(packed) >= 2 {
			q.Id = uint16(packed[0])<<8 | uint16(packed[1])
		}
		answer, err := unpack(q, packed)
		if err != nil {
			return
		}
		_ = answer.String()
		p.judge(answer)
		var m probe.Metrics
		p.export(&m, &dnsLook{answer: answer})
	})
}

// FuzzConversation follows query_response with a server that may say anything.
func FuzzConversation(f *testing.F) {
	f.Add("220 hello dog\r\n250 ok\nSN")
	f.Add("")
	f.Add(strings.Repeat("x", 5000))
	expect := pattern{}
	if err := expect.UnmarshalText([]byte(`^2\d\d (\S*) ?(.*)$`)); err != nil {
		f.Fatal(err)
	}
	steps := []exchangeStep{
		{Expect: expect, Send: "HELO ${1}", Labels: []stepLabel{{"a", "${2}"}}},
		{Expect: expect},
		{ExpectBytes: "SN"},
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &conversation{
			req: probe.Request{Log: slog.New(slog.DiscardHandler)}, conn: wire{Reader: strings.NewReader(text)},
			upgrade: func(net.Conn) (*tls.Conn, error) { return nil, errors.New("no TLS") },
		}
		c.follow(steps)
		if c.transcript.Len() > 2*probe.MaxEvidence {
			t.Fatalf("%d bytes are kept", c.transcript.Len())
		}
	})
}

// TestBodyReader stops one byte after the limit.
func TestBodyReader(t *testing.T) {
	for length, fails := range map[int]bool{0: false, 9: false, 10: false, 11: true, 5000: true} {
		b := &bodyReader{r: bytes.NewReader(make([]byte, length)), limit: 10}
		n, err := io.Copy(io.Discard, b)
		if fails != errors.Is(err, errTooLong) || n > 10 || b.n != n {
			t.Errorf("%d bytes: read %d, counted %d, %v", length, n, b.n, err)
		}
	}
}
