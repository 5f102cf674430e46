package exporters

import (
	"net/http"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/signal"
)

// sight is what is shown of one target.
type sight struct {
	name, address, module, tier string
	dependsOn                   []string
	published                   published
	last                        *outcome
}

// sights copies what is shown, under a lock that is held for the copying only.
func (e *Exporter) sights() []sight {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]sight, 0, len(e.order))
	for _, name := range e.order {
		t := e.targets[name]
		out = append(out, sight{
			name: name, address: t.cfg.Target, module: t.cfg.Probe, tier: t.cfg.Tier,
			dependsOn: t.cfg.DependsOn, published: t.published, last: t.last,
		})
	}
	return out
}

// Expose adds to x what /targets/metrics shows: the metrics of the last probe
// of each target with the labels target and instance, and its state as it is
// stored. Targets that nobody could look at have no metrics of probes.
func (e *Exporter) Expose(x *probe.Exposition) {
	sights := e.sights()
	var m probe.Metrics
	for i := range sights {
		sights[i].expose(&m)
	}
	x.Add(m.Families())
	for _, s := range sights {
		if s.last != nil {
			x.Add(s.last.families, "instance", s.address, "target", s.name)
		}
	}
}

func (s *sight) expose(m *probe.Metrics) {
	m.Gauge("collie_target_info", "What is configured for the target.", 1,
		"instance", s.address, "probe", s.module, "target", s.name, "tier", s.tier)
	for _, d := range s.dependsOn {
		m.Gauge("collie_target_dependency_info", "The target needs the one that it depends on.", 1, "depends_on", d, "target", s.name)
	}
	if s.published.state == "" {
		return // nothing is stored yet
	}
	for _, state := range signal.States() {
		m.Gauge("collie_target_state", "1 for the state that the target is in, 0 for all others.",
			probe.Bool(s.published.state == state), "state", string(state), "target", s.name)
	}
	m.Gauge("collie_target_since_seconds", "When the target came into its state, as a Unix time.",
		float64(s.published.since.UnixNano())/1e9, "target", s.name)
}

func (e *Exporter) serveMetrics(w http.ResponseWriter, r *http.Request) {
	e.metrics.scrapes.Inc()
	var x probe.Exposition
	e.Expose(&x)
	format := probe.Negotiate(r.Header)
	w.Header().Set("Content-Type", string(format))
	_, _ = w.Write(x.Append(nil, format)) //nolint:gosec // no page but an exposition; a scraper that has gone cannot be told
}
