package exporters

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/signal"
)

// BenchmarkTargetsMetrics is one scrape of 5,000 targets with 20 series each.
func BenchmarkTargetsMetrics(b *testing.B) {
	e := &Exporter{targets: map[string]*target{}}
	for i := range 5000 {
		var m probe.Metrics
		for j := range 20 {
			m.Gauge(fmt.Sprintf("probe_fake_%d_seconds", j), "A value.", float64(j)*1.1, "phase", "connect")
		}
		name := fmt.Sprintf("target-%d", i)
		e.order = append(e.order, name)
		e.targets[name] = &target{
			cfg: targetOf(name), last: &outcome{families: m.Families()},
			published: published{state: signal.Up, since: time.Now()},
		}
	}
	var out []byte
	for b.Loop() {
		var x probe.Exposition
		e.Expose(&x)
		out = x.Append(out[:0], expfmt.NewFormat(expfmt.TypeTextPlain))
	}
	b.ReportMetric(float64(len(out)), "bytes")
}
