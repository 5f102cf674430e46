package ircbot

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The dead man's switch: an alert that always fires and travels from the rule to
// the echo of its line. It is never shown to people.
const (
	heartbeatReceiver = "collie-deadman"
	heartbeatAlert    = "DeadMansSwitch"
)

// heartbeatAge is a metric that grows by itself: how long ago the dead man's
// switch last came back from each network, or how long we wait for the first.
type heartbeatAge struct {
	now  func() time.Time
	desc *prometheus.Desc

	mu   sync.Mutex
	last map[string]time.Time
}

func newHeartbeatAge(now func() time.Time) *heartbeatAge {
	return &heartbeatAge{
		now:  now,
		last: map[string]time.Time{},
		desc: prometheus.NewDesc("collie_irc_echo_age_seconds",
			"Time since the dead man's switch last came back from the network, after rule, Alertmanager and spool; since the start, if it never did.",
			[]string{"network"}, nil),
	}
}

func (h *heartbeatAge) begin(network string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last[network].IsZero() {
		h.last[network] = h.now()
	}
}

func (h *heartbeatAge) end(network string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.last, network)
}

func (h *heartbeatAge) beat(network string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[network] = at
}

func (h *heartbeatAge) age(network string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, h.now().Sub(h.last[network]))
}

// Describe implements prometheus.Collector.
func (h *heartbeatAge) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

// Collect implements prometheus.Collector.
func (h *heartbeatAge) Collect(ch chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for network, last := range h.last {
		ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, max(0, h.now().Sub(last).Seconds()), network)
	}
}
