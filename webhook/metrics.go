package webhook

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/colliehq/collie/webhook/proof"
)

// result is what became of a request, from a closed list.
type result string

const (
	stored      result = "stored"      // 202
	repeated    result = "repeated"    // 202 with the first id
	refused     result = "refused"     // 401
	tooLarge    result = "too_large"   // 413
	unreadable  result = "unreadable"  // the body did not come in time, or broke off: 408 or 400
	unsupported result = "unsupported" // a compressed body: 415
	overloaded  result = "overloaded"  // 503: too much at once
	full        result = "full"        // 503: no room in the spool or on the disk
	failed      result = "failed"      // 503: not known to be stored
)

var results = []result{stored, repeated, refused, tooLarge, unreadable, unsupported, overloaded, full, failed}

// metrics of the room. Series of hooks come and go with the configuration.
type metrics struct {
	deliveries *prometheus.CounterVec
	refused    *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	answer     *prometheus.HistogramVec
	last       *prometheus.GaugeVec
	silence    *prometheus.GaugeVec
	held       *prometheus.GaugeVec
	unknown    prometheus.Counter
	handled    *prometheus.CounterVec
	oldest     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, load *load) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string, of *atomic.Int64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(of.Load()) })
	}
	gauge("collie_webhook_requests_in_flight", "Deliveries that are proven and are being stored.", &load.requests)
	gauge("collie_webhook_memory_bytes", "Memory that bodies of deliveries take while they are read and stored.", &load.memory)
	m := &metrics{
		deliveries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_webhook_deliveries_total", Help: "Requests to a hook by what became of them. Only stored and repeated were answered with 202.",
		}, []string{"hook", "result"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_webhook_refused_total", Help: "Requests whose proof was refused, by the reason.",
		}, []string{"hook", "reason"}),
		bytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_webhook_body_bytes_total", Help: "Bytes of the bodies that were read.",
		}, []string{"hook"}),
		answer: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "collie_webhook_answer_duration_seconds", Help: "From the end of the headers to the answer, of requests that were stored or repeated.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"hook"}),
		last: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "collie_webhook_last_delivery_timestamp_seconds", Help: "When a hook was last posted to with a good proof; when it was configured, before the first time.",
		}, []string{"hook"}),
		silence: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "collie_webhook_silence_seconds", Help: "How long a hook may be without a delivery, where that is configured.",
		}, []string{"hook"}),
		held: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "collie_webhook_hold", Help: "1 while every delivery of the hook is parked for a person.",
		}, []string{"hook"}),
		unknown: f.NewCounter(prometheus.CounterOpts{
			Name: "collie_webhook_unknown_hook_total", Help: "Requests to a hook that is not configured.",
		}),
		handled: f.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_webhook_handled_total", Help: "Stored deliveries by what the mapper did with them.",
		}, []string{"outcome"}),
		oldest: f.NewGauge(prometheus.GaugeOpts{
			Name: "collie_webhook_spool_oldest_seconds", Help: "For how long the oldest delivery in the spool waits to be handled; 0 if none waits.",
		}),
	}
	for _, outcome := range []string{outcomeSignals, outcomeNothing, outcomeParked, outcomeHeld} {
		m.handled.WithLabelValues(outcome)
	}
	return m
}

// The outcomes of handling.
const (
	outcomeSignals = "signals" // it became signals
	outcomeNothing = "nothing" // it means no signal
	outcomeParked  = "parked"  // it cannot be understood
	outcomeHeld    = "held"    // a person asked to look at it first
)

// hookMetrics are the series of one hook, found once.
type hookMetrics struct {
	results map[result]prometheus.Counter
	refused map[proof.Reason]prometheus.Counter
	bytes   prometheus.Counter
	answer  prometheus.Observer
	last    prometheus.Gauge
}

func (m *metrics) begin(h *hook, last time.Time) *hookMetrics {
	out := &hookMetrics{
		results: map[result]prometheus.Counter{}, refused: map[proof.Reason]prometheus.Counter{},
		bytes: m.bytes.WithLabelValues(h.Name), answer: m.answer.WithLabelValues(h.Name), last: m.last.WithLabelValues(h.Name),
	}
	for _, r := range results {
		out.results[r] = m.deliveries.WithLabelValues(h.Name, string(r))
	}
	for _, r := range proof.Reasons() {
		out.refused[r] = m.refused.WithLabelValues(h.Name, string(r))
	}
	out.last.Set(seconds(last))
	m.silence.DeleteLabelValues(h.Name)
	if h.Silence > 0 {
		m.silence.WithLabelValues(h.Name).Set(h.Silence.Seconds())
	}
	held := 0.0
	if h.Hold {
		held = 1
	}
	m.held.WithLabelValues(h.Name).Set(held)
	return out
}

// end takes the series of a hook away that is not configured any more.
func (m *metrics) end(name string) {
	labels := prometheus.Labels{"hook": name}
	for _, v := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{
		m.deliveries, m.refused, m.bytes, m.answer, m.last, m.silence, m.held,
	} {
		v.DeletePartialMatch(labels)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
