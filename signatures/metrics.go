package signatures

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of a classification, as the label of collie_signatures_logs_total.
const (
	resultUnknown = "unknown" // nothing was recognised
	resultVetoed  = "vetoed"  // all that was recognised was ruled out
)

// Metrics counts what signatures find, over all logs that are classified with
// the sets that it measures. It outlives a reload of the signatures.
type Metrics struct {
	hits, vetoes, tried *prometheus.CounterVec
	last                *prometheus.GaugeVec
	logs                *prometheus.CounterVec
	bytes               prometheus.Counter
	now                 func() time.Time

	mu    sync.Mutex
	names []string // of the signatures in use
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(c)
		return c
	}
	m := &Metrics{
		hits:   vec("collie_signature_hits_total", "Logs that a signature was recognised in.", "signature"),
		vetoes: vec("collie_signature_vetoes_total", "Logs that a signature was recognised in, and ruled out.", "signature"),
		tried:  vec("collie_signature_tried_lines_total", "Lines that the texts of a signature were tried on: what it costs.", "signature"),
		logs:   vec("collie_signatures_logs_total", "Logs that were classified, by what the best signature asks for; unknown if there is none, vetoed if all were ruled out.", "result"),
		last:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "collie_signature_last_hit_timestamp_seconds", Help: "When a signature was last recognised; absent if it never was since the start."}, []string{"signature"}),
		bytes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "collie_signatures_read_bytes_total", Help: "Bytes of the logs that were classified."}),
		now:    time.Now,
	}
	reg.MustRegister(m.last, m.bytes)
	for _, result := range []string{string(Retry), string(Report), string(Alert), string(Leave), resultUnknown, resultVetoed} {
		m.logs.WithLabelValues(result)
	}
	return m
}

// Measure counts every log that is classified with the set from now on. The
// series of signatures that the set does not have any more go away. It must
// not be called while a log is being classified with the set.
func (m *Metrics) Measure(s *Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := s.Names()
	for _, name := range m.names {
		if !slices.Contains(names, name) {
			m.forget(name)
		}
	}
	for _, name := range names {
		m.hits.WithLabelValues(name)
		m.vetoes.WithLabelValues(name)
		m.tried.WithLabelValues(name)
	}
	m.names, s.metrics = names, m
}

func (m *Metrics) forget(name string) {
	m.hits.DeleteLabelValues(name)
	m.vetoes.DeleteLabelValues(name)
	m.tried.DeleteLabelValues(name)
	m.last.DeleteLabelValues(name)
}

// count takes a verdict, and the lines that each signature of the set was tried
// on.
func (m *Metrics) count(s *Set, v Verdict, tried []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes.Add(float64(v.Bytes))
	m.logs.WithLabelValues(result(v)).Inc()
	for i, n := range tried {
		if name := s.signatures[i].Name; n > 0 && m.inUse(name) {
			m.tried.WithLabelValues(name).Add(float64(n))
		}
	}
	for _, f := range v.Findings {
		if m.inUse(f.Signature) {
			m.hits.WithLabelValues(f.Signature).Inc()
			m.last.WithLabelValues(f.Signature).Set(float64(m.now().Unix()))
		}
	}
	for _, f := range v.Vetoed {
		if m.inUse(f.Signature) {
			m.vetoes.WithLabelValues(f.Signature).Inc()
		}
	}
}

// inUse reports whether the last set that is measured has the signature: a log
// may end after the signatures were read again.
func (m *Metrics) inUse(name string) bool { return slices.Contains(m.names, name) }

// result is what a log came to. A signature in shadow mode does not count as an
// answer to anybody, but what it recognised is not unknown.
func result(v Verdict) string {
	switch {
	case v.Best != nil:
		return string(v.Best.Action)
	case len(v.Vetoed) > 0:
		return resultVetoed
	}
	return resultUnknown
}
