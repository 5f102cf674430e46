package exporters

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/signal"
)

// metrics are what the exporter tells of itself, on /metrics. What it tells of
// the targets is on /targets/metrics.
type metrics struct {
	probes, failures                               *prometheus.CounterVec
	blind                                          *prometheus.CounterVec
	discarded, pings, scrapes, writeFailures, lost prometheus.Counter
}

func newMetrics(r prometheus.Registerer, e *Exporter) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "collie_exporter_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "collie_exporter_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		probes:        vec("probes_total", "Scheduled probes, by kind.", "kind"),
		failures:      vec("probe_failures_total", "Scheduled probes that failed, by kind.", "kind"),
		blind:         vec("blind_total", "Times that we did not look: before a start, because we stood still (stall), or because the clock was stepped (step).", "cause"),
		discarded:     counter("discarded_results_total", "Results that prove nothing because we stood still while the probe ran."),
		pings:         counter("pings_total", "Pings of heartbeats that were stored."),
		scrapes:       counter("scrapes_total", "Answers to /targets/metrics."),
		writeFailures: counter("write_failures_total", "Commits of verdicts that failed; they are tried again."),
		lost:          counter("lost_signals_total", "Signals that could not be made, a mistake in Collie."),
	}
	for _, cause := range []string{"start", "stall", "step"} {
		m.blind.WithLabelValues(cause)
	}
	r.MustRegister(m.probes, m.failures, m.blind, m.discarded, m.pings, m.scrapes, m.writeFailures, m.lost, &instant{e})
	return m
}

// count counts a probe. Attempts and failures are two metrics.
func (m *metrics) count(kind string, success bool) {
	m.probes.WithLabelValues(kind).Inc()
	failures := m.failures.WithLabelValues(kind) // is 0 before the first
	if !success {
		failures.Inc()
	}
}

// instant collects what is read from the exporter when it is scraped.
type instant struct{ e *Exporter }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe sends nothing: the collector is unchecked, its metrics are below.
func (*instant) Describe(chan<- *prometheus.Desc) {}

// Collect reads everything under one short lock.
func (i *instant) Collect(out chan<- prometheus.Metric) {
	e := i.e
	e.mu.Lock()
	pending, folded := len(e.pending.list), e.pending.folded
	ahead, age := e.clock.Ahead(), e.clock.Mono()-e.leased
	states := map[signal.State]int{}
	for _, t := range e.targets {
		states[t.machine.State]++
	}
	e.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(desc("collie_exporter_pending_changes", "Verdicts that are kept in memory until they can be stored."), float64(pending))
	out <- prometheus.MustNewConstMetric(desc("collie_exporter_folded_transitions_total",
		"Transitions that were folded into later ones because nothing could be stored for too long."), prometheus.CounterValue, float64(folded))
	gauge(desc("collie_exporter_lease_age_seconds", "How long ago the last lease was stored."), age.Seconds())
	gauge(desc("collie_clock_ahead_seconds", "How far the clock of the record is ahead of the wall clock, after that was stepped back."), ahead.Seconds())
	targets := desc("collie_exporter_targets", "Configured targets, by the state that they are judged to be in.", "state")
	for _, s := range signal.States() {
		gauge(targets, float64(states[s]), string(s))
	}
}
