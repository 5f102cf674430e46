// Package rabbitmq tells how many messages wait in the queues of a RabbitMQ
// cluster, and how its nodes are. Counts come from the detailed endpoint of the
// prometheus plugin of each node, which is cheap for the broker, and from the
// management API where that endpoint does not answer.
//
// The names of both are those of
// https://www.rabbitmq.com/docs/prometheus#detailed-endpoint and
// https://www.rabbitmq.com/docs/management#http-api.
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
// It keeps nothing between probes.
type RabbitMQ struct{}

// New returns a RabbitMQ.
func New(Options) *RabbitMQ { return &RabbitMQ{} }

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (*RabbitMQ) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "rabbitmq", Build: build}}
}

func build(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	o, ok := decode(node, bad)
	if !ok {
		return nil
	}
	return func(ctx context.Context, req probe.Request) probe.Result { return look(ctx, o, req) }
}
