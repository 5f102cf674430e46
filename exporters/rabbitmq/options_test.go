package rabbitmq

import (
	"strings"
	"testing"

	"github.com/colliehq/collie/exporters/module"
)

// TestOptions accepts and refuses each option, with a sentence that helps.
func TestOptions(t *testing.T) {
	const user = "username: u, password: p, "
	for good, bad := range map[string][2]string{
		user + "management: [mq1]":                   {"management: [mq1]", "needs a username"},
		"username: u, password_file: /etc/p":         {"username: u", "needs a password"},
		"password: p, username: u":                   {"password: p", "needs a username"},
		user:                                         {user + "password_file: /etc/p", "only one of"},
		user + "source: management":                  {"source: management", "needs a username"},
		"source: metrics":                            {"source: metric", `did you mean "metrics"?`},
		"nodes: [mq2, 'https://mq3:1']":              {"nodes: [mq2, 'ftp://x']", "nodes[1]: begins with ftp://"},
		"nodes: []":                                  {"nodes: [" + strings.Repeat("a,", 65) + "]", "at most 64"},
		user + "discover: true":                      {"discover: true", "needs a username"},
		"require: all":                               {"require: most", "it can be all, any, majority"},
		"vhosts: [/]":                                {"vhosts: /", "vhosts"},
		"include: 'ci[.].*'":                         {"include: '('", "not a regular expression"},
		"exclude: ''":                                {"exclude: '['", "not a regular expression"},
		"max_queues: 100000":                         {"max_queues: 100001", "it can be 0 to 100000"},
		"max_queues: 0":                              {"max_queues: -1", "it can be"},
		"checks: [is-in-service]":                    {"checks: [is-in-servic]", `did you mean "is-in-service"?`},
		"listeners: [5672, 5671]":                    {"listeners: [0]", "is not a port"},
		"certificate_within: 30d":                    {"certificate_within: soon", "certificate_within"},
		"fail_on_alarm: true":                        {"fail_on_alarm: 3", "fail_on_alarm"},
		"preferred_ip_protocol: ip6":                 {"preferred_ip_protocol: 6", "neither ip4 nor ip6"},
		"tls_config: {ca_file: /c, server_name: mq}": {"tls_config: {cafile: /c}", "cafile"},
		"tls_config: {cert_file: /c, key_file: /k}":  {"tls_config: {cert_file: /c}", "tls_config"},
		"max_queues: 5":                              {"max_queue: 5", "max_queues"},
	} {
		if mistakes := parse(good); mistakes != "" {
			t.Errorf("%s: %s", good, mistakes)
		}
		if mistakes := parse(bad[0]); !strings.Contains(mistakes, bad[1]) {
			t.Errorf("%s: %q, want %q", bad[0], mistakes, bad[1])
		}
	}
}

func parse(options string) string {
	var mistakes []string
	text := "modules: {m: {prober: rabbitmq, rabbitmq: {" + options + "}}}"
	module.Parse([]byte(text), New(Options{}).Kinds(), func(_ int, path, message string) {
		mistakes = append(mistakes, path+": "+message)
	})
	return strings.Join(mistakes, "\n")
}

func TestBuiltInModule(t *testing.T) {
	all := module.Map(module.Defaults(New(Options{}).Kinds()))
	n := newNode(t, "rabbit@mq1")
	if r := probed(t, all["rabbitmq"], n.address()); !r.Success {
		t.Error(r.Cause)
	}
}
