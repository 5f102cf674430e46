// Package s3 tells how much is in a bucket, and whether one can write, read and delete there.
package s3

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// Options of a S3.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// S3 is this exporter in one process; one is used through every reload.
type S3 struct{ o Options }

// New returns a S3.
func New(o Options) *S3 { return &S3{o: o} }

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *S3) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "s3", Build: x.build}}
}

func (x *S3) build(*yaml.Node, func(line int, format string, args ...any)) probe.Func {
	return func(context.Context, probe.Request) probe.Result {
		return probe.Fail(probe.Metrics{}, probe.Protocol, "not built yet")
	}
}

// Name is the name of the task.
func (x *S3) Name() string { return "s3" }

// Ready is closed at once: nothing waits for the background work.
func (x *S3) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// Run does the background work until ctx ends.
func (x *S3) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
