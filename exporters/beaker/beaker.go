// Package beaker tells how long the queues of a Beaker lab are and how its
// systems do (https://beaker-project.org).
//
// Beaker has no call that tells queue lengths: its scheduler, beakerd, sends
// them to a carbon daemon. The kind "beaker" is that daemon. Without a hand in
// the server's configuration the kind "beaker_systems" asks what everybody may
// ask, within a budget: Atom feeds, the status of systems, unfinished jobs.
package beaker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/probe"
)

// Options of a Beaker.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// Beaker is this exporter in one process; one is used through every reload.
type Beaker struct {
	now     func() time.Time
	desk    *desk
	memory  *memory
	patient time.Duration // how long a probe waits for the task before it listens itself
}

// New returns a Beaker.
func New(o Options) *Beaker {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Beaker{now: o.Now, desk: newDesk(o.Log, newMetrics(o.Registry)), memory: newMemory(), patient: 2 * time.Second}
}

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *Beaker) Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "beaker", Build: x.buildCarbon},
		{Name: "beaker_systems", Build: x.buildSystems},
	}
}

// Name is the name of the task.
func (x *Beaker) Name() string { return "beaker" }

// Ready is closed at once: what listens is opened when a probe asks for it.
func (x *Beaker) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// Run listens for what the probes ask for, until ctx ends. It may be run once.
func (x *Beaker) Run(ctx context.Context) error {
	x.desk.run(ctx)
	return nil
}

// metrics are about ourselves.
type metrics struct {
	listeners, connections prometheus.Gauge
	turnedAway             prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		listeners:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "collie_beaker_listeners", Help: "Addresses at which Collie is a carbon target for Beaker."}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "collie_beaker_connections", Help: "Open TCP connections to these addresses."}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "collie_beaker_connections_refused_total", Help: "TCP connections closed at once because an address had as many as it may have.",
		}),
	}
	if registry != nil {
		registry.MustRegister(m.listeners, m.connections, m.turnedAway)
	}
	return m
}
