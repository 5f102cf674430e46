package rabbitmq

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/strictyaml"
)

// options are the section "rabbitmq" of a module.
type options struct {
	Username     string      `yaml:"username"`
	Password     secret.Text `yaml:"password"`
	PasswordFile string      `yaml:"password_file"`

	Source     source   `yaml:"source"`
	Nodes      []string `yaml:"nodes"`
	Management []string `yaml:"management"`
	Discover   *bool    `yaml:"discover"`
	Require    require  `yaml:"require"`

	VHosts    []string `yaml:"vhosts"`
	Include   pattern  `yaml:"include"`
	Exclude   pattern  `yaml:"exclude"`
	MaxQueues int      `yaml:"max_queues"`

	Checks            []string      `yaml:"checks"`
	Listeners         []int         `yaml:"listeners"`
	CertificateWithin time.Duration `yaml:"certificate_within"`
	FailOnAlarm       bool          `yaml:"fail_on_alarm"`

	IPProtocol string           `yaml:"preferred_ip_protocol"`
	TLS        config.TLSConfig `yaml:"tls_config"`

	nodes      []endpoint
	management []endpoint
}

// Bounds of what can be configured.
const (
	defaultQueues = 1000
	mostQueues    = 100_000
	mostNodes     = 64
)

// source is the road on which counts come.
type source string

// The sources.
const (
	fromAuto       source = "auto"       // metrics, and management where they do not answer
	fromMetrics    source = "metrics"    // the prometheus plugin of each node
	fromManagement source = "management" // the management API of any node
)

func (s *source) UnmarshalText(text []byte) error {
	return oneOf(s, text, fromAuto, fromMetrics, fromManagement)
}

// require is how many nodes must answer for the probe to succeed.
type require string

// What can be required.
const (
	requireAll      require = "all"
	requireMajority require = "majority" // more than half
	requireAny      require = "any"
)

func (r *require) UnmarshalText(text []byte) error {
	return oneOf(r, text, requireAll, requireMajority, requireAny)
}

func oneOf[T ~string](into *T, text []byte, words ...T) error {
	if slices.Contains(words, T(text)) {
		*into = T(text)
		return nil
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return fmt.Errorf("%q is unknown%s", text, strictyaml.Suggestion(string(text), list))
}

// pattern is a regular expression that a whole name must match; empty matches
// nothing.
type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	re, err := regexp.Compile("^(?:" + string(text) + ")$")
	if err != nil {
		return fmt.Errorf("not a regular expression: %w", err)
	}
	p.Regexp = re
	return nil
}

// knownChecks are the health checks that need no parameter of their own, with
// what they are asked by. Which of them a broker knows depends on its version.
func knownChecks() map[string]string {
	return map[string]string{
		"local-alarms":                          "local-alarms",
		"virtual-hosts":                         "virtual-hosts",
		"node-is-mirror-sync-critical":          "node-is-mirror-sync-critical",
		"node-is-quorum-critical":               "node-is-quorum-critical",
		"quorum-queues-without-elected-leaders": "quorum-queues-without-elected-leaders/all-vhosts/",
		"is-in-service":                         "is-in-service",
		"ready-to-serve-clients":                "ready-to-serve-clients",
		"below-node-connection-limit":           "below-node-connection-limit",
		"metadata-store-initialized":            "metadata-store/initialized",
	}
}

func defaults() *options {
	return &options{
		Source: fromAuto, Require: requireMajority, MaxQueues: defaultQueues, IPProtocol: "ip4", CertificateWithin: 14 * 24 * time.Hour,
		Checks: []string{"local-alarms", "virtual-hosts", "node-is-quorum-critical", "quorum-queues-without-elected-leaders"},
	}
}

// decode reads the section and tells bad of every mistake.
func decode(node *yaml.Node, bad func(line int, format string, args ...any)) (*options, bool) {
	o, ok := defaults(), true
	lines := strictyaml.LinesOf(node)
	mistake := func(line int, path, message string) {
		ok = false
		bad(line, "%s: %s", strings.TrimSuffix("rabbitmq."+path, "."), message)
	}
	strictyaml.Decode(node, o, mistake)
	if ok {
		o.validate(func(path, format string, args ...any) { mistake(lines.Of(path), path, fmt.Sprintf(format, args...)) })
	}
	return o, ok
}

type reporter = func(path, format string, args ...any)

func (o *options) validate(bad reporter) {
	o.validateCredentials(bad)
	o.validateChecks(bad)
	if o.MaxQueues < 0 || o.MaxQueues > mostQueues {
		bad("max_queues", "is %d; it can be 0 to %d", o.MaxQueues, mostQueues)
	}
	if o.IPProtocol != "ip4" && o.IPProtocol != "ip6" {
		bad("preferred_ip_protocol", "%q is neither ip4 nor ip6", o.IPProtocol)
	}
	if len(o.Nodes) > mostNodes {
		bad("nodes", "are %d; at most %d can be looked at", len(o.Nodes), mostNodes)
	}
	if err := o.TLS.Validate(); err != nil {
		bad("tls_config", "%s", err)
	}
	o.nodes = addresses("nodes", o.Nodes, metricsRoad, bad)
	o.management = addresses("management", o.Management, managementRoad, bad)
}

func addresses(key string, texts []string, r road, bad reporter) (all []endpoint) {
	for i, text := range texts {
		e, err := parseEndpoint(text, r)
		if err != nil {
			bad(fmt.Sprintf("%s[%d]", key, i), "%s", err)
		}
		all = append(all, e)
	}
	return all
}

func (o *options) validateCredentials(bad reporter) {
	password := !o.Password.Empty() || o.PasswordFile != ""
	switch {
	case !o.Password.Empty() && o.PasswordFile != "":
		bad("password_file", "only one of password and password_file can be set")
	case o.Username != "" && !password:
		bad("username", "needs a password: password_file")
	case o.Username == "" && password:
		bad(cmp.Or(map[bool]string{true: "password_file"}[o.PasswordFile != ""], "password"), "needs a username")
	case o.Username != "":
	case o.Source == fromManagement:
		bad("source", "management needs a username and a password_file")
	case len(o.Management) > 0:
		bad("management", "needs a username and a password_file")
	case o.Discover != nil && *o.Discover:
		bad("discover", "asks the management API for the nodes, which needs a username and a password_file")
	}
}

func (o *options) validateChecks(bad reporter) {
	known := knownChecks()
	for i, name := range o.Checks {
		if known[name] == "" {
			names := make([]string, 0, len(known))
			for k := range known {
				names = append(names, k)
			}
			bad(fmt.Sprintf("checks[%d]", i), "%q is unknown%s", name, strictyaml.Suggestion(name, names))
		}
	}
	for i, port := range o.Listeners {
		if port < 1 || port > 65535 {
			bad(fmt.Sprintf("listeners[%d]", i), "%d is not a port", port)
		}
	}
	if len(o.Listeners) > 16 {
		bad("listeners", "are %d; at most 16 can be checked", len(o.Listeners))
	}
	if o.CertificateWithin < 0 {
		bad("certificate_within", "is negative")
	}
}

// managed says whether the management API is used at all.
func (o *options) managed() bool { return o.Username != "" }

// discovering says whether the management API is asked for the nodes.
func (o *options) discovering() bool {
	if o.Discover != nil {
		return *o.Discover
	}
	return o.managed() && len(o.Nodes) == 0
}

// password reads the password anew, so that a new one holds at once.
func (o *options) password() (secret.Text, error) {
	if o.PasswordFile == "" {
		return o.Password, nil
	}
	return secret.Read(o.PasswordFile)
}

// chosen says whether the queue is one that the options ask for.
func (o *options) chosen(vhost, queue string) bool {
	if o.Include.Regexp != nil && !o.Include.MatchString(queue) {
		return false
	}
	return (o.Exclude.Regexp == nil || !o.Exclude.MatchString(queue)) && o.inside(vhost)
}

func (o *options) inside(vhost string) bool {
	return len(o.VHosts) == 0 || slices.Contains(o.VHosts, vhost)
}
