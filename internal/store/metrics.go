package store

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	batch     prometheus.Histogram
	duration  prometheus.Histogram
	failures  prometheus.Counter
	failed    prometheus.Counter
	purged    prometheus.Counter
	check     prometheus.Gauge
	walPages  prometheus.Gauge
	observers []prometheus.Collector
}

func newMetrics(s *Store) *metrics {
	m := &metrics{
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "collie_store_commit_batch_size", Help: "Transactions that shared one commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "collie_store_commit_duration_seconds", Help: "Time that a commit took, the sync of the disk included.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "collie_store_disk_failures_total", Help: "Times that the disk failed and the data file was opened again.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "collie_store_commits_failed_total", Help: "Commits that were not stored, or are not known to be.",
		}),
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "collie_store_keys_forgotten_total", Help: "Keys of acted-on messages that were forgotten for their age.",
		}),
		check: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "collie_store_quick_check", Help: "Check of the data file after an unclean stop: 0 not needed, 1 running, 2 ok, 3 damaged.",
		}),
		walPages: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "collie_store_wal_pages", Help: "Pages of the log that the last checkpoint could not write back.",
		}),
	}
	m.observers = []prometheus.Collector{m.batch, m.duration, m.failures, m.failed, m.purged, m.check, m.walPages,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "collie_store_free_bytes", Help: "Bytes free on the file system of the data directory.",
		}, func() float64 { return float64(s.space.free.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "collie_store_ballast_present", Help: "1 while the ballast file is kept back, 0 after it was given away to a full disk.",
		}, func() float64 { return oneIf(s.space.present.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "collie_store_space_low", Help: "1 while the disk is nearly full and bulk writers have to stop.",
		}, func() float64 { return oneIf(s.space.low.Load()) }),
		newQueueCollector(s.book),
	}
	return m
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *metrics) committed(n int, d time.Duration, err error) {
	if err != nil {
		m.failed.Inc()
		return
	}
	m.batch.Observe(float64(n))
	m.duration.Observe(d.Seconds())
}

func (m *metrics) register(reg prometheus.Registerer) error {
	var errs []error
	for _, c := range m.observers {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	for _, c := range m.observers {
		reg.Unregister(c)
	}
}
