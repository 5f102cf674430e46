// Package exporters is the role that looks: it probes targets at their
// intervals, decides with the verdict package what state each is in, stores
// every transition together with the signal about it, and shows results and
// states to Prometheus.
//
// A result goes one way: schedule, probe, verdict, pending list, store, and only
// then into what is published. While the disk is full the pending list keeps
// the verdicts in order. What we did not look at is unknown, never down: at a
// start, after our process stood still, and after a step of the clock.
package exporters

import (
	"slices"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/probe"
)

// Kinds is the one visible list of what can be probed. A new exporter is a
// package, a field of Set and a line here.
func (s *Set) Kinds() []probe.Kind {
	return slices.Concat(
		host.Kinds(),    // http, tcp, icmp, dns, tls
		s.Local.Kinds(), // filesystem, machine
		s.NFS.Kinds(),
		s.S3.Kinds(),
		s.RabbitMQ.Kinds(),
		s.Beaker.Kinds(),
	)
}
