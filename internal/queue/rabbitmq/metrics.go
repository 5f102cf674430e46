package rabbitmq

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
)

// counters of a subscription since the start, of this process.
type counters struct{ published, redelivered, lost, spilled, dropped, parked atomic.Uint64 }

// metrics has the names of the embedded queue's where the meaning is the same.
// It describes nothing ahead, so that both can be in one registry: a process
// with a broker has its local queue as well.
type metrics struct {
	q        *Queue
	instance string // of this process, to tell ids apart

	blocked  prometheus.Gauge
	connects prometheus.Counter
	unknown  prometheus.Counter

	depth  *prometheus.Desc
	totals map[*prometheus.Desc]func(*sub) *atomic.Uint64

	mu    sync.Mutex
	stats []queue.Stats
	at    time.Time
}

func newMetrics(q *Queue) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"subscription"}, labels...), nil)
	}
	return &metrics{
		q: q, instance: strconv.FormatInt(time.Now().UnixNano(), 36),
		blocked:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "collie_queue_broker_blocked", Help: "1 while the broker blocks publishers because its memory or disk alarm is on."}),
		connects: prometheus.NewCounter(prometheus.CounterOpts{Name: "collie_queue_broker_connections_total", Help: "Connections made to the broker."}),
		unknown:  prometheus.NewCounter(prometheus.CounterOpts{Name: "collie_queue_broker_unknown_total", Help: "Messages published without a confirm, whose outcome is unknown."}),
		depth:    desc("collie_queue_messages", "Messages of a subscription by state.", "state"),
		totals: map[*prometheus.Desc]func(*sub) *atomic.Uint64{
			desc("collie_queue_published_total", "Messages stored for a subscription since the start."):               func(s *sub) *atomic.Uint64 { return &s.n.published },
			desc("collie_queue_redelivered_total", "Deliveries after the first attempt."):                             func(s *sub) *atomic.Uint64 { return &s.n.redelivered },
			desc("collie_queue_leases_lost_total", "Deliveries that nobody settled in time."):                         func(s *sub) *atomic.Uint64 { return &s.n.lost },
			desc("collie_queue_spilled_total", "Messages set aside because their subscription was full."):             func(s *sub) *atomic.Uint64 { return &s.n.spilled },
			desc("collie_queue_dropped_total", "Messages set aside earlier that were deleted to bound their number."): func(s *sub) *atomic.Uint64 { return &s.n.dropped },
			desc("collie_queue_parked_total", "Messages set aside for a person."):                                     func(s *sub) *atomic.Uint64 { return &s.n.parked },
		},
	}
}

func (m *metrics) setBlocked(on bool) {
	if on {
		m.blocked.Set(1)
		return
	}
	m.blocked.Set(0)
}

// Describe implements prometheus.Collector: see metrics.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Metric{m.blocked, m.connects, m.unknown} {
		ch <- c
	}
	for _, s := range m.q.declared() {
		for d, of := range m.totals {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(of(s).Load()), s.name)
		}
	}
	for _, s := range m.lately() {
		for state, n := range map[queue.State]int{
			queue.Ready: s.Ready, queue.Delayed: s.Delayed, queue.Leased: s.Leased, queue.Parked: s.Parked, queue.Spilled: s.Spilled,
		} {
			ch <- prometheus.MustNewConstMetric(m.depth, prometheus.GaugeValue, float64(n), s.Name, string(state))
		}
	}
}

// depthWithin bounds how long a scrape waits for the broker. Without an answer
// the depths are left out: old ones would look like the truth.
const depthWithin = 2 * time.Second

// lately asks the broker for the depths, at most once a second.
func (m *metrics) lately() []queue.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) < time.Second {
		return m.stats
	}
	ctx, cancel := context.WithTimeout(m.q.ctx, depthWithin)
	answer := make(chan []queue.Stats, 1)
	go func() {
		defer cancel()
		stats, err := m.q.Stats(ctx)
		if err != nil {
			stats = nil
		}
		answer <- stats
	}()
	select {
	case m.stats = <-answer:
	case <-ctx.Done():
		m.stats = nil
	}
	m.at = time.Now()
	return m.stats
}

// noteErr logs an error that nobody can act on.
func (q *Queue) noteErr(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		q.log.Debug("closing a connection failed", "err", err)
	}
}
