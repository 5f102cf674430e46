// Package rabbitmq tells how many messages wait in the queues of a RabbitMQ cluster, and how its nodes are.
package rabbitmq

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// Options of a RabbitMQ.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// RabbitMQ is this exporter in one process; one is used through every reload.
type RabbitMQ struct{ o Options }

// New returns a RabbitMQ.
func New(o Options) *RabbitMQ { return &RabbitMQ{o: o} }

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *RabbitMQ) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "rabbitmq", Build: x.build}}
}

func (x *RabbitMQ) build(*yaml.Node, func(line int, format string, args ...any)) probe.Func {
	return func(context.Context, probe.Request) probe.Result {
		return probe.Fail(probe.Metrics{}, probe.Protocol, "not built yet")
	}
}
