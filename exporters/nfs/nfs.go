// Package nfs looks at NFS servers by RPC, without mounting anything and without root.
package nfs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// Options of a NFS.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// NFS is this exporter in one process; one is used through every reload.
type NFS struct{ o Options }

// New returns a NFS.
func New(o Options) *NFS { return &NFS{o: o} }

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *NFS) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "nfs", Build: x.build}}
}

func (x *NFS) build(*yaml.Node, func(line int, format string, args ...any)) probe.Func {
	return func(context.Context, probe.Request) probe.Result {
		return probe.Fail(probe.Metrics{}, probe.Protocol, "not built yet")
	}
}
