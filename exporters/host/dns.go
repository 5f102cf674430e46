package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// dnsOptions are what a module says under dns.
type dnsOptions struct {
	ipOptions `yaml:",inline"`

	SourceIP           ipAddr     `yaml:"source_ip_address"`
	Transport          string     `yaml:"transport_protocol"`
	DNSOverTLS         bool       `yaml:"dns_over_tls"`
	TLSConfig          tlsOptions `yaml:"tls_config"`
	QueryName          string     `yaml:"query_name"`
	QueryType          string     `yaml:"query_type"`
	QueryClass         string     `yaml:"query_class"`
	Recursion          bool       `yaml:"recursion_desired"`
	ValidRcodes        []string   `yaml:"valid_rcodes"`
	ValidateAnswer     rrRules    `yaml:"validate_answer_rrs"`
	ValidateAuthority  rrRules    `yaml:"validate_authority_rrs"`
	ValidateAdditional rrRules    `yaml:"validate_additional_rrs"`
}

// rrRules look at the records of one section, in their text form (RFC 1035,
// 5.1; fields are separated by tabs).
type rrRules struct {
	Matches     []pattern `yaml:"fail_if_matches_regexp"`
	AllMatch    []pattern `yaml:"fail_if_all_match_regexp"`
	NotMatches  []pattern `yaml:"fail_if_not_matches_regexp"`
	NoneMatches []pattern `yaml:"fail_if_none_matches_regexp"`
}

type dnsProbe struct {
	options dnsOptions
	query   dns.Question
	tls     *tlsMaker
	buffers sync.Pool // of *[]byte
}

func buildDNS(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	p := &dnsProbe{options: dnsOptions{
		ipOptions: ipOptions{Fallback: true}, Transport: "udp", QueryType: "ANY", QueryClass: "IN", Recursion: true,
	}}
	o := decode("dns", node, &p.options, bad)
	if p.options.validate(o); !o.ok {
		return nil
	}
	p.query = dns.Question{
		Name:  dns.Fqdn(p.options.QueryName),
		Qtype: dns.StringToType[p.options.QueryType], Qclass: dns.StringToClass[p.options.QueryClass],
	}
	p.tls = &tlsMaker{options: p.options.TLSConfig}
	return p.probe
}

func (d *dnsOptions) validate(o *options) {
	if d.QueryName == "" {
		o.mistake("query_name", "is missing: the name to ask for")
	} else if _, ok := dns.IsDomainName(d.QueryName); !ok {
		o.mistake("query_name", "%q is not a domain name", d.QueryName)
	}
	if _, ok := dns.StringToType[d.QueryType]; !ok {
		o.mistake("query_type", "%q is not a record type%s", d.QueryType, upper(d.QueryType, dns.StringToType))
	}
	if _, ok := dns.StringToClass[d.QueryClass]; !ok {
		o.mistake("query_class", "%q is not a class; it can be IN, CH, HS, ANY", d.QueryClass)
	}
	for i, name := range d.ValidRcodes {
		if _, ok := dns.StringToRcode[name]; !ok {
			o.mistake(fmt.Sprintf("valid_rcodes[%d]", i), "%q is not a response code%s", name, upper(name, dns.StringToRcode))
		}
	}
	if d.Transport != "udp" && d.Transport != "tcp" {
		o.mistake("transport_protocol", "%q is neither udp nor tcp", d.Transport)
	} else if d.DNSOverTLS && d.Transport != "tcp" {
		o.mistake("dns_over_tls", "needs transport_protocol: tcp")
	}
	d.TLSConfig.validate(o)
}

// upper suggests the word in capitals, if that is known.
func upper[T any](word string, known map[string]T) string {
	if _, ok := known[strings.ToUpper(word)]; ok {
		return fmt.Sprintf("; did you mean %q?", strings.ToUpper(word))
	}
	return ""
}

// dnsLook is what one dns probe found.
type dnsLook struct {
	lookup           lookup
	connect, request time.Duration
	answer           *dns.Msg
}

func (p *dnsProbe) probe(ctx context.Context, req probe.Request) probe.Result {
	var m probe.Metrics
	var look dnsLook
	f := p.ask(ctx, req, &look)
	if look.answer != nil {
		f = p.judge(look.answer)
	}
	p.export(&m, &look)
	if f.reason == probe.None {
		return probe.Result{Success: true, Metrics: m}
	}
	result := probe.Fail(m, f.reason, f.cause)
	if look.answer != nil {
		result.Evidence = look.answer.String()
	}
	return result
}

func (p *dnsProbe) export(m *probe.Metrics, look *dnsLook) {
	const name, help = "probe_dns_duration_seconds", "How long each phase took."
	look.lookup.export(m)
	m.Gauge(name, help, look.lookup.took.Seconds(), "phase", "resolve")
	m.Gauge(name, help, look.connect.Seconds(), "phase", "connect")
	m.Gauge(name, help, look.request.Seconds(), "phase", "request")
	answer := look.answer
	if answer == nil {
		answer = &dns.Msg{}
	}
	m.Gauge("probe_dns_query_succeeded", "1 if there was an answer, whatever it says.", probe.Bool(look.answer != nil))
	m.Gauge("probe_dns_answer_rrs", "How many records the answer section has.", float64(len(answer.Answer)))
	m.Gauge("probe_dns_authority_rrs", "How many records the authority section has.", float64(len(answer.Ns)))
	m.Gauge("probe_dns_additional_rrs", "How many records the additional section has.", float64(len(answer.Extra)))
	if p.query.Qtype == dns.TypeSOA {
		serial := 0.0
		for _, rr := range answer.Answer {
			if soa, ok := rr.(*dns.SOA); ok {
				serial = float64(soa.Serial)
			}
		}
		m.Gauge("probe_dns_serial", "The serial number of the zone; 0 if the answer has none.", serial)
	}
}

// judge looks at the response code and the three sections, in that order.
func (p *dnsProbe) judge(answer *dns.Msg) fault {
	valid := p.options.ValidRcodes
	if len(valid) == 0 {
		valid = []string{"NOERROR"}
	}
	got, known := dns.RcodeToString[answer.Rcode]
	if !known {
		got = fmt.Sprintf("RCODE%d", answer.Rcode)
	}
	accepted := slices.ContainsFunc(valid, func(name string) bool { return dns.StringToRcode[name] == answer.Rcode })
	switch {
	case accepted:
	case answer.Rcode == dns.RcodeRefused:
		return fault{probe.Refused, fmt.Sprintf("the server answered %s to %s %s", got, p.options.QueryType, p.query.Name)}
	default:
		return fault{probe.Status, fmt.Sprintf("the server answered %s to %s %s, not %s", got, p.options.QueryType, p.query.Name, strings.Join(valid, " or "))}
	}
	for _, section := range []struct {
		name  string
		rrs   []dns.RR
		rules *rrRules
	}{
		{"answer", answer.Answer, &p.options.ValidateAnswer},
		{"authority", answer.Ns, &p.options.ValidateAuthority},
		{"additional", answer.Extra, &p.options.ValidateAdditional},
	} {
		if cause := section.rules.judge(section.rrs); cause != "" {
			return fault{probe.Body, section.name + " section: " + cause}
		}
	}
	return fault{}
}

// judge says what is wrong with the records; nothing if they pass.
// fail_if_all_match_regexp does what blackbox_exporter does, not what its name
// says: it fails if some record does not match. Module files rely on it.
func (r *rrRules) judge(rrs []dns.RR) string {
	if len(rrs) == 0 && len(r.NotMatches)+len(r.NoneMatches) > 0 {
		return "it has no records to match"
	}
	all, some := true, false
	for _, rr := range rrs {
		text := rr.String()
		for _, re := range r.Matches {
			if re.MatchString(text) {
				return fmt.Sprintf("record %q matches %q", text, re)
			}
		}
		for _, re := range r.NotMatches {
			if !re.MatchString(text) {
				return fmt.Sprintf("record %q does not match %q", text, re)
			}
		}
		for _, re := range r.AllMatch {
			all = all && re.MatchString(text)
		}
		for _, re := range r.NoneMatches {
			some = some || re.MatchString(text)
		}
	}
	switch {
	case len(r.AllMatch) > 0 && !all:
		return "not all records match fail_if_all_match_regexp"
	case len(r.NoneMatches) > 0 && !some:
		return "no record matches fail_if_none_matches_regexp"
	}
	return ""
}
