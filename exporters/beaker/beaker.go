// Package beaker tells how long the queues of a Beaker lab are and how its systems do.
package beaker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// Options of a Beaker.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// Beaker is this exporter in one process; one is used through every reload.
type Beaker struct{ o Options }

// New returns a Beaker.
func New(o Options) *Beaker { return &Beaker{o: o} }

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *Beaker) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "beaker", Build: x.build}}
}

func (x *Beaker) build(*yaml.Node, func(line int, format string, args ...any)) probe.Func {
	return func(context.Context, probe.Request) probe.Result {
		return probe.Fail(probe.Metrics{}, probe.Protocol, "not built yet")
	}
}

// Name is the name of the task.
func (x *Beaker) Name() string { return "beaker" }

// Ready is closed at once: nothing waits for the background work.
func (x *Beaker) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// Run does the background work until ctx ends.
func (x *Beaker) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
