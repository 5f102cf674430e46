package outbox

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
)

type metrics struct {
	confirmed, unknown *prometheus.CounterVec
	lag, blocked       *prometheus.GaugeVec
}

func newMetrics() *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"topic"})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"topic"})
	}
	return &metrics{
		confirmed: counter("collie_outbox_confirmed_total", "Messages that the broker confirmed."),
		unknown:   counter("collie_outbox_unknown_total", "Messages published without a confirm; they are published again with the same key."),
		lag:       gauge("collie_outbox_lag_seconds", "Time from the commit to the confirm of the batch confirmed last."),
		blocked:   gauge("collie_outbox_blocked", "1 while the broker does not take messages."),
	}
}

func (m *metrics) collector(local queue.Queue, topics []string) prometheus.Collector {
	for _, topic := range topics { // series exist from the start
		m.confirmed.WithLabelValues(topic)
		m.unknown.WithLabelValues(topic)
		m.lag.WithLabelValues(topic)
		m.blocked.WithLabelValues(topic)
	}
	names := map[string]string{}
	for _, topic := range topics {
		names[Subscription(topic).Name] = topic
	}
	return &collector{
		metrics: m, local: local, topics: names,
		waiting: prometheus.NewDesc("collie_outbox_waiting", "Messages that the broker has not confirmed yet.", []string{"topic"}, nil),
		oldest:  prometheus.NewDesc("collie_outbox_oldest_seconds", "Age of the oldest message that waits for its turn; 0 if none does.", []string{"topic"}, nil),
	}
}

// collector asks the local queue what waits.
type collector struct {
	*metrics
	local           queue.Queue
	topics          map[string]string // by subscription
	waiting, oldest *prometheus.Desc
}

func (c *collector) vectors() []prometheus.Collector {
	return []prometheus.Collector{c.confirmed, c.unknown, c.lag, c.blocked}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.waiting
	ch <- c.oldest
	for _, v := range c.vectors() {
		v.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, v := range c.vectors() {
		v.Collect(ch)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	stats, err := c.local.Stats(ctx)
	if err != nil {
		return // absent says more than an old number
	}
	for _, s := range stats {
		topic, ours := c.topics[s.Name]
		if !ours {
			continue
		}
		age := 0.0
		if !s.OldestReady.IsZero() {
			age = max(0, time.Since(s.OldestReady).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(s.Ready+s.Delayed+s.Leased), topic)
		ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age, topic)
	}
}
