package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// tlsKindOptions are what a module says under tls, a kind that
// blackbox_exporter does not have.
type tlsKindOptions struct {
	ipOptions `yaml:",inline"`

	SourceIP      ipAddr        `yaml:"source_ip_address"`
	TLSConfig     tlsOptions    `yaml:"tls_config"`
	ExpiresWithin time.Duration `yaml:"fail_if_expires_within"`
}

// tlsProbe looks at a server's certificate. Unlike a tcp probe with TLS it
// exports the expiry of a certificate that it does not accept, so that a graph
// does not end on the day that matters.
type tlsProbe struct {
	options tlsKindOptions
	tls     *tlsMaker
}

func buildTLS(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	p := &tlsProbe{options: tlsKindOptions{ipOptions: ipOptions{Fallback: true}}}
	o := decode("tls", node, &p.options, bad)
	if p.options.TLSConfig.validate(o); !o.ok {
		return nil
	}
	p.tls = &tlsMaker{options: p.options.TLSConfig}
	return p.probe
}

func (p *tlsProbe) probe(ctx context.Context, req probe.Request) probe.Result {
	var l link
	var m probe.Metrics
	f := p.look(ctx, req, &l)
	if l.end != nil {
		l.end()
	}
	const name, help = "probe_tls_duration_seconds", "How long each phase took."
	l.lookup.export(&m)
	m.Gauge(name, help, l.lookup.took.Seconds(), "phase", "resolve")
	m.Gauge(name, help, l.connect.Seconds(), "phase", "connect")
	m.Gauge(name, help, l.handshake.Seconds(), "phase", "handshake")
	if l.state != nil {
		addTLS(&m, l.state)
	}
	if f.reason == probe.None {
		return probe.Result{Success: true, Metrics: m}
	}
	result := probe.Fail(m, f.reason, f.cause)
	if l.state != nil {
		result.Evidence = describeChain(l.state.PeerCertificates)
	}
	return result
}

func (p *tlsProbe) look(ctx context.Context, req probe.Request, l *link) fault {
	host, port, err := splitTarget(req.Target, "443")
	if err != nil {
		return fault{probe.Protocol, err.Error()}
	}
	if f := l.open(ctx, req, p.options.ipOptions, p.options.SourceIP, host, port); f.reason != probe.None {
		return f
	}
	if name := req.Params.Hostname; name != "" {
		host = name
	}
	config, err := p.tls.config(host, true)
	if err != nil {
		return fault{probe.TLS, "tls_config: " + err.Error()}
	}
	verify := !config.InsecureSkipVerify
	config.InsecureSkipVerify = true // verified below, after the certificate has been seen
	if f := l.secure(config); f.reason != probe.None {
		return f
	}
	if verify {
		if f := verifyChain(l.state, config); f.reason != probe.None {
			return f
		}
	}
	return p.judgeExpiry(l.state.PeerCertificates)
}

// verifyChain does what crypto/tls does at the end of a handshake, and keeps
// the chains.
func verifyChain(state *tls.ConnectionState, config *tls.Config) fault {
	certs := state.PeerCertificates
	if len(certs) == 0 {
		return fault{probe.TLS, "the server sent no certificate"}
	}
	others := x509.NewCertPool()
	for _, c := range certs[1:] {
		others.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{Roots: config.RootCAs, Intermediates: others, DNSName: config.ServerName})
	if err != nil {
		return fault{probe.TLS, err.Error()}
	}
	state.VerifiedChains = chains
	return fault{}
}

func (p *tlsProbe) judgeExpiry(certs []*x509.Certificate) fault {
	end := earliest(certs)
	day := end.UTC().Format(time.DateTime + " MST")
	switch left := time.Until(end); {
	case left <= 0:
		return fault{probe.TLS, "a certificate has expired on " + day}
	case left < p.options.ExpiresWithin:
		return fault{probe.TLS, fmt.Sprintf("a certificate expires on %s, in less than %s", day, strictyaml.FormatDuration(p.options.ExpiresWithin))}
	}
	return fault{}
}

func describeChain(certs []*x509.Certificate) string {
	var text strings.Builder
	for _, c := range certs {
		fmt.Fprintf(&text, "subject %s, issuer %s, names %v, valid from %s to %s\n", labelText(c.Subject.String()), labelText(c.Issuer.String()),
			c.DNSNames, c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	}
	return text.String()
}
