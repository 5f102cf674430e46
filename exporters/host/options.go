package host

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/units"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
)

// reporter is told of the mistakes in a module's options.
type reporter = func(line int, format string, args ...any)

// options is a kind's section of a module while it is read.
type options struct {
	kind  string
	lines strictyaml.Lines
	bad   reporter
	ok    bool
	wrong []string // the paths of what could not be decoded
}

// decode puts node into what into points to and tells bad of every mistake.
func decode(kind string, node *yaml.Node, into any, bad reporter) *options {
	o := &options{kind: kind, lines: strictyaml.LinesOf(node), bad: bad, ok: true}
	strictyaml.Decode(node, into, func(line int, path, message string) {
		o.ok = false
		o.wrong = append(o.wrong, path)
		bad(line, "%s: %s", o.path(path), message)
	})
	return o
}

// mistake reports what is wrong with the option at path, as far as it can be
// told once everything is read. What could not be decoded was told of already.
func (o *options) mistake(path, format string, args ...any) {
	if slices.ContainsFunc(o.wrong, func(w string) bool { return w != "" && (strings.HasPrefix(w, path) || strings.HasPrefix(path, w)) }) {
		return
	}
	o.ok = false
	o.bad(o.lines.Of(path), "%s: %s", o.path(path), fmt.Sprintf(format, args...))
}

func (o *options) path(below string) string { return strings.TrimSuffix(o.kind+"."+below, ".") }

// exclusive reports if more than one of the options is set.
func (o *options) exclusive(prefix string, set map[string]bool, names ...string) {
	var given []string
	for _, name := range names {
		if set[name] {
			given = append(given, name)
		}
	}
	if len(given) > 1 {
		o.mistake(prefix+given[1], "only one of %s can be set", strings.Join(given, " and "))
	}
}

// ipOptions choose one address of a name.
type ipOptions struct {
	Preferred ipProtocol `yaml:"preferred_ip_protocol"`
	Fallback  bool       `yaml:"ip_protocol_fallback"`
}

// ipProtocol is "ip4" or "ip6"; empty means ip6.
type ipProtocol string

func (p *ipProtocol) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case "ip4", "ip6", "":
		*p = ipProtocol(v)
		return nil
	case "ipv4", "ipv6", "4", "6":
		return fmt.Errorf("%q is neither ip4 nor ip6; did you mean %q?", v, "ip"+v[len(v)-1:])
	default:
		return fmt.Errorf("%q is neither ip4 nor ip6", v)
	}
}

// ipAddr is an address of this machine to probe from; the zero value leaves
// the choice to the kernel.
type ipAddr struct{ netip.Addr }

func (a *ipAddr) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		return nil
	}
	if a.Addr, err = netip.ParseAddr(string(text)); err != nil {
		return fmt.Errorf("%q is not an IP address", text)
	}
	return nil
}

// pattern is a regular expression in Go's syntax (RE2).
type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalText(text []byte) error {
	re, err := regexp.Compile(string(text))
	if err != nil {
		return fmt.Errorf("not a regular expression: %w", err)
	}
	p.Regexp = re
	return nil
}

// byteSize is a number of bytes: 1024, 10MB, 10MiB. As in blackbox_exporter a
// MB is 1024 times 1024.
type byteSize int64

func (s *byteSize) UnmarshalText(text []byte) error {
	v, err := units.ParseBase2Bytes(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a size; write it like 512KB or 10MB", text)
	}
	*s = byteSize(v)
	return nil
}

// unsupported is an option of blackbox_exporter that Collie does not have; why
// ends the sentence that a user reads.
type unsupported interface{ why() string }

func refuse(node *yaml.Node, bad func(int, string, string), u unsupported) {
	bad(node.Line, "", "is an option of blackbox_exporter that Collie does not support: "+u.why())
}

// Option is an option of a kind's section, for the table in the documentation.
type Option struct {
	Kind        string
	Name        string // with the options around it: "basic_auth.username"
	Unsupported string // why it is not supported; empty if it is
}

// Options lists the options of all kinds, in the order in which they are
// declared.
func Options() []Option {
	var all []Option
	for _, section := range []struct {
		kind string
		of   any
	}{{"http", httpOptions{}}, {"tcp", tcpOptions{}}, {"icmp", icmpOptions{}}, {"dns", dnsOptions{}}, {"tls", tlsKindOptions{}}} {
		all = appendOptions(all, section.kind, "", reflect.TypeOf(section.of))
	}
	return all
}

func appendOptions(all []Option, kind, prefix string, t reflect.Type) []Option {
	for field := range t.Fields() {
		name, flags, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if strings.Contains(flags, "inline") {
			all = appendOptions(all, kind, prefix, field.Type)
			continue
		}
		option := Option{Kind: kind, Name: prefix + name}
		if u, ok := reflect.TypeAssert[unsupported](reflect.Zero(field.Type)); ok {
			option.Unsupported = u.why()
		}
		all = append(all, option)
		if inner := sectionType(field.Type); inner != nil {
			all = appendOptions(all, kind, prefix+name+".", inner)
		}
	}
	return all
}

// sectionType is the struct of options behind t, if there is one.
func sectionType(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("yaml") != "" {
		return t
	}
	return nil
}
