package store

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue/rows"
)

// queueCollector shows the counts of the book, which cost no query.
type queueCollector struct {
	book   *rows.Book
	depth  *prometheus.Desc
	totals map[*prometheus.Desc]func(*rows.Sub) uint64
}

func newQueueCollector(b *rows.Book) *queueCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"subscription"}, labels...), nil)
	}
	return &queueCollector{
		book:  b,
		depth: desc("collie_queue_messages", "Messages of a subscription by state.", "state"),
		totals: map[*prometheus.Desc]func(*rows.Sub) uint64{
			desc("collie_queue_published_total", "Messages stored for a subscription since the start."):               func(s *rows.Sub) uint64 { return s.Published.Load() },
			desc("collie_queue_redelivered_total", "Deliveries after the first attempt."):                             func(s *rows.Sub) uint64 { return s.Redelivered.Load() },
			desc("collie_queue_leases_lost_total", "Deliveries that nobody settled in time."):                         func(s *rows.Sub) uint64 { return s.Lost.Load() },
			desc("collie_queue_spilled_total", "Messages set aside because their subscription was full."):             func(s *rows.Sub) uint64 { return s.Spilled.Load() },
			desc("collie_queue_dropped_total", "Messages set aside earlier that were deleted to bound their number."): func(s *rows.Sub) uint64 { return s.Dropped.Load() },
			desc("collie_queue_parked_total", "Messages set aside for a person."):                                     func(s *rows.Sub) uint64 { return s.Parked.Load() },
		},
	}
}

func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.depth
	for d := range c.totals {
		ch <- d
	}
}

func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.book.Subs() {
		name := s.Spec().Name
		for state, n := range s.Counts() {
			ch <- prometheus.MustNewConstMetric(c.depth, prometheus.GaugeValue, float64(n), name, string(state))
		}
		for d, total := range c.totals {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(total(s)), name)
		}
	}
}
