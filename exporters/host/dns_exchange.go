package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/colliehq/collie/exporters/probe"
)

// maxMessage is the longest DNS message, in bytes.
const maxMessage = 65535

// ask sends the question and waits for its answer.
func (p *dnsProbe) ask(ctx context.Context, req probe.Request, look *dnsLook) fault {
	name, to, f := p.address(ctx, req, look)
	if f.reason != probe.None {
		return f
	}
	start := time.Now()
	conn, end, f := p.connect(ctx, req, name, to)
	look.connect = time.Since(start)
	if f.reason != probe.None {
		return f
	}
	defer end()
	if isDebug(req) {
		req.Log.Debug("making DNS query", "server", to, "transport", p.options.Transport, "query", p.query.String())
	}
	start = time.Now()
	answer, err := p.exchange(conn)
	look.request = time.Since(start)
	if err != nil {
		return fault{reasonOf(err, probe.Protocol), fmt.Sprintf("ask %s: %s", to, plain(err))}
	}
	look.answer = answer
	if isDebug(req) {
		req.Log.Debug("got DNS answer", "answer", answer.String())
	}
	return fault{}
}

// address finds out where the server is.
func (p *dnsProbe) address(ctx context.Context, req probe.Request, look *dnsLook) (name string, to netip.AddrPort, f fault) {
	standard := "53"
	if p.options.DNSOverTLS {
		standard = "853" // RFC 7858
	}
	name, port, err := splitTarget(req.Target, standard)
	if err != nil {
		return "", to, fault{probe.Protocol, err.Error()}
	}
	look.lookup, err = p.options.resolve(ctx, req, name)
	if err != nil {
		return "", to, fault{reasonOf(err, probe.DNS), plain(err)}
	}
	number, err := lookupPort(ctx, p.options.Transport, port)
	if err != nil {
		return "", to, fault{probe.Protocol, fmt.Sprintf("target %q: %s", req.Target, err)}
	}
	return name, netip.AddrPortFrom(look.lookup.addr, number), fault{}
}

func (p *dnsProbe) connect(ctx context.Context, req probe.Request, name string, to netip.AddrPort) (net.Conn, func(), fault) {
	if p.options.Transport == "udp" {
		var from netip.AddrPort
		if p.options.SourceIP.IsValid() {
			from = netip.AddrPortFrom(p.options.SourceIP.Addr, 0)
		}
		conn, err := dialer(req).DialUDP(ctx, "udp", from, to)
		if err != nil {
			return nil, nil, fault{reasonOf(err, probe.Unreachable), fmt.Sprintf("connect to %s: %s", to, plain(err))}
		}
		return conn, endWith(ctx, conn), fault{}
	}
	conn, end, err := dialTCP(ctx, req, p.options.SourceIP, to)
	if err != nil {
		return nil, nil, fault{reasonOf(err, probe.Unreachable), fmt.Sprintf("connect to %s: %s", to, plain(err))}
	}
	if !p.options.DNSOverTLS {
		return conn, end, fault{}
	}
	config, err := p.tls.config(name, true)
	if err != nil {
		end()
		return nil, nil, fault{probe.TLS, "tls_config: " + err.Error()}
	}
	l := link{conn: conn}
	if f := l.secure(config); f.reason != probe.None {
		end()
		return nil, nil, f
	}
	return l.conn, end, fault{}
}

// exchange makes one exchange over the connection (RFC 1035, 4.2).
func (p *dnsProbe) exchange(conn net.Conn) (*dns.Msg, error) {
	query := &dns.Msg{MsgHdr: dns.MsgHdr{Id: dns.Id(), RecursionDesired: p.options.Recursion}, Question: []dns.Question{p.query}}
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	buffer, ok := p.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, maxMessage)
		buffer = &b
	}
	defer p.buffers.Put(buffer)
	if p.options.Transport == "udp" {
		return exchangeUDP(conn, query, packed, *buffer)
	}
	return exchangeTCP(conn, query, packed, *buffer)
}

// exchangeUDP passes over datagrams that answer something else: late ones, and
// forged ones.
func exchangeUDP(conn net.Conn, query *dns.Msg, packed, buffer []byte) (*dns.Msg, error) {
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		if n >= 2 && binary.BigEndian.Uint16(buffer) == query.Id {
			return unpack(query, buffer[:n])
		}
	}
}

func exchangeTCP(conn net.Conn, query *dns.Msg, packed, buffer []byte) (*dns.Msg, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, buffer[:2]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(buffer)
	if _, err := io.ReadFull(conn, buffer[:n]); err != nil {
		return nil, err
	}
	return unpack(query, buffer[:n])
}

// unpack decodes an answer. What does not answer the query is an error.
func unpack(query *dns.Msg, packed []byte) (*dns.Msg, error) {
	answer := &dns.Msg{}
	if err := answer.Unpack(packed); err != nil {
		return nil, fmt.Errorf("the answer cannot be decoded: %w", err)
	}
	switch {
	case answer.Id != query.Id:
		return nil, errors.New("the answer has another id than the query")
	case !answer.Response:
		return nil, errors.New("the answer is a query itself")
	}
	return answer, nil
}
