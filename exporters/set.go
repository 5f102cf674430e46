package exporters

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/beaker"
	"github.com/colliehq/collie/exporters/local"
	"github.com/colliehq/collie/exporters/nfs"
	"github.com/colliehq/collie/exporters/rabbitmq"
	"github.com/colliehq/collie/exporters/s3"
)

// SetOptions are what every exporter of a process is given.
type SetOptions struct {
	Log      *slog.Logger
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// Set is every exporter that keeps something between probes. One Set lives as
// long as the process, through every reload.
type Set struct {
	Local    *local.Local
	NFS      *nfs.NFS
	S3       *s3.S3
	RabbitMQ *rabbitmq.RabbitMQ
	Beaker   *beaker.Beaker
}

// NewSet makes the exporters. Close gives back what they hold.
func NewSet(o SetOptions) *Set {
	return &Set{
		Local:    local.New(local.Options{Log: o.Log, Registry: o.Registry}),
		NFS:      nfs.New(nfs.Options{Log: o.Log, Registry: o.Registry, Now: o.Now}),
		S3:       s3.New(s3.Options{Log: o.Log, Registry: o.Registry, Now: o.Now}),
		RabbitMQ: rabbitmq.New(rabbitmq.Options{Log: o.Log, Registry: o.Registry, Now: o.Now}),
		Beaker:   beaker.New(beaker.Options{Log: o.Log, Registry: o.Registry, Now: o.Now}),
	}
}

// Background is an exporter's work between probes, as a task.
type Background interface {
	Run(ctx context.Context) error
	Name() string
	Ready() <-chan struct{}
}

// Background lists the exporters that work between probes.
func (s *Set) Background() []Background { return []Background{s.S3, s.Beaker} }

// Close gives back what the exporters hold. No probe may run any more.
func (s *Set) Close() error { return s.Local.Close() }
