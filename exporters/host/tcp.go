package host

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// tcpOptions are what a module says under tcp.
type tcpOptions struct {
	ipOptions `yaml:",inline"`

	SourceIP      ipAddr         `yaml:"source_ip_address"`
	QueryResponse []exchangeStep `yaml:"query_response"`
	TLS           bool           `yaml:"tls"`
	TLSConfig     tlsOptions     `yaml:"tls_config"`
}

type tcpProbe struct {
	options tcpOptions
	tls     *tlsMaker
}

func buildTCP(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	p := &tcpProbe{options: tcpOptions{ipOptions: ipOptions{Fallback: true}}}
	o := decode("tcp", node, &p.options, bad)
	validateSteps(o, p.options.QueryResponse)
	if p.options.TLSConfig.validate(o); !o.ok {
		return nil
	}
	p.tls = &tlsMaker{options: p.options.TLSConfig}
	return p.probe
}

// link is a connection that a probe makes: to one address, with TLS if it is
// asked for, and how long that took.
type link struct {
	conn               net.Conn
	end                func()
	state              *tls.ConnectionState
	lookup             lookup
	connect, handshake time.Duration
}

// open connects to host and port. The fault says what went wrong.
func (l *link) open(ctx context.Context, req probe.Request, ip ipOptions, source ipAddr, host, port string) fault {
	found, err := ip.resolve(ctx, req, host)
	l.lookup = found
	if err != nil {
		return fault{reasonOf(err, probe.DNS), plain(err)}
	}
	number, err := lookupPort(ctx, "tcp", port)
	if err != nil {
		return fault{probe.Protocol, fmt.Sprintf("target %q: %s", req.Target, err)}
	}
	start := time.Now()
	to := netip.AddrPortFrom(found.addr, number)
	l.conn, l.end, err = dialTCP(ctx, req, source, to)
	l.connect = time.Since(start)
	if err != nil {
		return fault{reasonOf(err, probe.Unreachable), fmt.Sprintf("connect to %s: %s", to, plain(err))}
	}
	if isDebug(req) {
		req.Log.Debug("connected", "address", to, "took", l.connect)
	}
	return fault{}
}

// secure starts TLS on the connection.
func (l *link) secure(config *tls.Config) fault {
	start := time.Now()
	t := tls.Client(l.conn, config)
	err := t.Handshake() //nolint:noctx // conn fails when the context ends, without the goroutine that HandshakeContext starts
	l.handshake = time.Since(start)
	if err != nil {
		return fault{reasonOf(err, probe.TLS), "TLS handshake: " + plain(err)}
	}
	state := t.ConnectionState()
	l.conn, l.state = t, &state
	return fault{}
}

func (p *tcpProbe) probe(ctx context.Context, req probe.Request) probe.Result {
	var l link
	c := &conversation{req: req}
	f := p.talk(ctx, req, &l, c)
	if l.end != nil {
		l.end()
	}
	const name, help = "probe_tcp_duration_seconds", "How long each phase took."
	m := &probe.Metrics{}
	l.lookup.export(m)
	m.Gauge(name, help, l.lookup.took.Seconds(), "phase", "resolve")
	m.Gauge(name, help, l.connect.Seconds(), "phase", "connect")
	m.Gauge(name, help, l.handshake.Seconds(), "phase", "tls")
	m.Gauge("probe_failed_due_to_regex", "1 if the probe failed because no line matched an expect.", probe.Bool(c.regexFailed))
	m.Gauge("probe_failed_due_to_bytes", "1 if the probe failed because other bytes came than expect_bytes.", probe.Bool(c.bytesFailed))
	for _, labels := range c.labels {
		m.Gauge("probe_expect_info", "What the query_response of the module picked out of the answer.", 1, labels...)
	}
	if c.state != nil {
		addTLS(m, c.state)
	}
	if f.reason == probe.None {
		return probe.Result{Success: true, Metrics: *m}
	}
	result := probe.Fail(*m, f.reason, f.cause)
	result.Evidence = c.transcript.String()
	return result
}

func (p *tcpProbe) talk(ctx context.Context, req probe.Request, l *link, c *conversation) fault {
	host, port, err := splitTarget(req.Target, "")
	if err != nil {
		return fault{probe.Protocol, err.Error()}
	}
	if f := l.open(ctx, req, p.options.ipOptions, p.options.SourceIP, host, port); f.reason != probe.None {
		return f
	}
	if name := req.Params.Hostname; name != "" {
		host = name
	}
	if p.options.TLS {
		config, err := p.tls.config(host, true)
		if err != nil {
			return fault{probe.TLS, "tls_config: " + err.Error()}
		}
		if f := l.secure(config); f.reason != probe.None {
			return f
		}
		c.state = l.state
	}
	c.conn = l.conn
	c.upgrade = func(conn net.Conn) (*tls.Conn, error) {
		config, err := p.tls.config(host, true)
		if err != nil {
			return nil, fmt.Errorf("tls_config: %w", err)
		}
		t := tls.Client(conn, config)
		return t, t.Handshake() //nolint:noctx // as in link.secure
	}
	return c.follow(p.options.QueryResponse)
}
