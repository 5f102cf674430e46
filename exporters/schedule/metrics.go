package schedule

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	lateness prometheus.Histogram
	skipped  prometheus.Counter
}

// newMetrics registers what a schedule tells of itself.
func newMetrics(r prometheus.Registerer, s *Schedule) *metrics {
	m := &metrics{
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "collie_schedule_lateness_seconds",
			Help:    "How much later than due a job of the schedule began.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "collie_schedule_skipped_total",
			Help: "Runs that were left out because the job was still waiting or running, or we stood still.",
		}),
	}
	gauge := func(name, help string, value func(Stats) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.Stats())) })
	}
	r.MustRegister(
		m.lateness, m.skipped,
		gauge("collie_schedule_jobs", "Jobs in the schedule.", func(s Stats) int { return s.Jobs }),
		gauge("collie_schedule_running", "Jobs that run at this moment.", func(s Stats) int { return s.Running }),
		gauge("collie_schedule_waiting", "Jobs that are due and wait for a free place, overall or at their host.",
			func(s Stats) int { return s.Waiting }),
	)
	return m
}
