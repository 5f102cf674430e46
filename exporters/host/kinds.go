// Package host holds the probes that look at a service from outside: http, tcp,
// icmp, dns and tls. They take the options that blackbox_exporter's module
// files have, under the same names and with the same meaning.
package host

import "github.com/colliehq/collie/exporters/probe"

// Kinds lists the probes of this package.
func Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "http", Build: buildHTTP},
		{Name: "tcp", Build: buildTCP},
		{Name: "icmp", Build: buildICMP},
		{Name: "dns", Build: buildDNS},
		{Name: "tls", Build: buildTLS},
	}
}
