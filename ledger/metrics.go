package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/signal"
)

type metrics struct {
	signals    *prometheus.CounterVec
	duplicates prometheus.Counter
	stale      prometheus.Counter
	late       prometheus.Counter
	parked     prometheus.Counter
	failures   prometheus.Counter
	lapses     prometheus.Counter
	purged     *prometheus.CounterVec
	lag        prometheus.Gauge
	open       prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, open int) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "collie_ledger_" + name, Help: help})
	}
	m := &metrics{
		signals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_ledger_signals_total", Help: "Signals written to the journal.",
		}, []string{"kind"}),
		duplicates: counter("duplicates_total", "Signals that were recorded before and came again."),
		stale:      counter("stale_total", "Signals of targets that were too old, or known under another id, and changed no interval."),
		late:       counter("late_total", "Signals of targets that came after newer ones and were put in their place."),
		parked:     counter("parked_total", "Messages that are no valid signal or lease and were set aside for a person."),
		failures:   counter("write_failures_total", "Writes to the record that failed and were tried again."),
		lapses:     counter("lapses_total", "Leases of exporters that ran out: their targets became unknown."),
		purged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_ledger_purged_total", Help: "Rows deleted because they were older than the retention.",
		}, []string{"table"}),
		lag:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "collie_ledger_lag_seconds", Help: "Time from observation to record of the newest recorded signal."}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "collie_ledger_intervals_open", Help: "Targets on record, each with one interval that lasts."}),
	}
	for _, k := range signal.Kinds() {
		m.signals.WithLabelValues(string(k))
	}
	for _, t := range []string{"journal", "intervals", "targets"} {
		m.purged.WithLabelValues(t)
	}
	m.open.Set(float64(open))
	r.MustRegister(m.signals, m.duplicates, m.stale, m.late, m.parked, m.failures, m.lapses, m.purged, m.lag, m.open)
	return m
}

// recorded counts a signal once it is durable.
func (m *metrics) recorded(s signal.Signal, now time.Time) {
	m.signals.WithLabelValues(string(s.Kind)).Inc()
	m.lag.Set(max(now.Sub(s.Observed), 0).Seconds())
}
