package exporters

import (
	"slices"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/local"
	"github.com/colliehq/collie/exporters/probe"
)

// Kinds is the one visible list of what can be probed. A new exporter is a
// package and a line here.
func Kinds(l *local.Local) []probe.Kind {
	return slices.Concat(
		host.Kinds(), // http, tcp, icmp, dns, tls
		l.Kinds(),    // filesystem, machine
	)
}
