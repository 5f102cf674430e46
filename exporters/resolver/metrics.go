package resolver

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	lookups, hits, queries, failures prometheus.Counter
}

// newMetrics registers what a resolver tells of itself.
func newMetrics(registry prometheus.Registerer, r *Resolver) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		registry.MustRegister(c)
		return c
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "collie_resolver_cache_entries", Help: "Answers that are kept until their time to live is over.",
	}, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.cache.entries))
	}))
	return &metrics{
		lookups:  counter("collie_resolver_lookups_total", "Names that probes asked for."),
		hits:     counter("collie_resolver_cache_hits_total", "Questions that were answered from what was kept; a name may be two questions, IPv4 and IPv6."),
		queries:  counter("collie_resolver_queries_total", "Questions that were sent to name servers."),
		failures: counter("collie_resolver_query_failures_total", "Questions that a name server did not answer, or answered with a failure."),
	}
}
