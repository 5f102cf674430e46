package beaker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// carbonOptions are a module's options under "beaker".
type carbonOptions struct {
	ListenAddress string        `yaml:"listen_address"`
	Prefix        string        `yaml:"prefix"`
	Expiry        time.Duration `yaml:"expiry"`
	MaxSeries     count         `yaml:"max_series"`
	Senders       senders       `yaml:"senders"`
}

// carbon is a module that listens, ready to probe.
type carbon struct {
	carbonOptions
	beaker *Beaker
}

func (x *Beaker) buildCarbon(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	c := &carbon{beaker: x, carbonOptions: carbonOptions{
		ListenAddress: "127.0.0.1:2003", Prefix: "beaker.", Expiry: 90 * time.Second, MaxSeries: 1000,
	}}
	mistake := decode(node, &c.carbonOptions, bad)
	if err := listenable(c.ListenAddress); err != nil {
		mistake("listen_address", err.Error())
	}
	if !printable(c.Prefix) || len(c.Prefix) > 100 {
		mistake("prefix", "must be what carbon.prefix is in Beaker's server.cfg, without spaces")
	}
	if c.Expiry < time.Second {
		mistake("expiry", "must be at least 1s; beakerd sends every 30s")
	}
	return c.probe
}

// probe tells what came in. While a listener is young, it waits for the first
// gauges as long as it may.
func (c *carbon) probe(ctx context.Context, req probe.Request) probe.Result {
	start := time.Now()
	select {
	case <-c.beaker.desk.started:
	case <-time.After(c.beaker.patient):
		return c.alone(ctx, start)
	case <-ctx.Done():
	}
	l, found, err := c.beaker.desk.ask(ctx, &c.carbonOptions)
	if err != nil {
		return c.cannotListen(err, start)
	}
	if isNew(found, c.Expiry) {
		req.Log.Debug("waiting for the first gauges", "address", c.ListenAddress, "prefix", c.Prefix)
	}
	return c.tell(ctx, l, found, start)
}

// alone listens for this one probe, where no task does: in "collie probe".
func (c *carbon) alone(ctx context.Context, start time.Time) probe.Result {
	l := newListener(c.ListenAddress, c.beaker.desk.metrics, start)
	found := l.claim(&c.carbonOptions, start)
	if err := l.open(ctx); err != nil {
		return c.cannotListen(err, start)
	}
	defer l.close()
	return c.tell(ctx, l, found, start)
}

func isNew(l *lab, expiry time.Duration) bool { return time.Since(l.since) < expiry }

// tell waits for the first gauges, and tells.
func (c *carbon) tell(ctx context.Context, l *listener, found *lab, start time.Time) probe.Result {
	s := found.look(time.Now(), c.Expiry)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !s.receiving && isNew(found, c.Expiry) && waits(ctx) {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		s = found.look(time.Now(), c.Expiry)
	}
	malformed, unclaimed := l.strays()
	m := c.export(s, malformed, unclaimed, start)
	if s.receiving {
		return probe.Result{Success: true, Metrics: m}
	}
	return probe.Fail(m, probe.Stale, c.silence(s, malformed, unclaimed))
}

// waits tells whether there is time for more than the answer itself.
func waits(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > 100*time.Millisecond)
}

// silence says in a sentence what can be done about nothing coming in.
func (c *carbon) silence(s snapshot, malformed, unclaimed float64) string {
	switch {
	case !s.last.IsZero():
		return fmt.Sprintf("nothing was sent to %s for %s: is beakerd running?", c.ListenAddress, time.Since(s.last).Round(time.Second))
	case s.counts.refused > 0:
		return fmt.Sprintf("all that came to %s is from addresses that are not among senders", c.ListenAddress)
	case unclaimed > 0:
		return fmt.Sprintf("no name that came to %s begins with %q: prefix is not the carbon.prefix of Beaker's server.cfg", c.ListenAddress, c.Prefix)
	case malformed > 0:
		return fmt.Sprintf("what came to %s is not carbon's plaintext protocol", c.ListenAddress)
	}
	return fmt.Sprintf("nothing came to %s in %s: does carbon.address in Beaker's server.cfg lead there?", c.ListenAddress, time.Since(s.since).Round(time.Second))
}

func (c *carbon) cannotListen(err error, start time.Time) probe.Result {
	cause := fmt.Sprintf("cannot listen at %s: %v", c.ListenAddress, err)
	if strings.Contains(cause, "address already in use") {
		cause += " (by a carbon daemon, or by another Collie: ask that one)"
	}
	return probe.Fail(c.export(snapshot{}, 0, 0, start), probe.Unreachable, cause)
}

// phaseHelp is the help of what both kinds of probe tell of their time.
const phaseHelp = "How long each part of the probe took."

// export tells what is held, and what became of the lines.
func (c *carbon) export(s snapshot, malformed, unclaimed float64, start time.Time) (m probe.Metrics) {
	age := 0.0
	if !s.last.IsZero() {
		age = time.Since(s.last).Seconds()
	}
	m.Gauge("probe_beaker_receiving", "1 if beakerd sends; 0 if it was silent for the expiry, or was never heard.", probe.Bool(s.receiving))
	m.Gauge("probe_beaker_silence_seconds", "How long ago the last gauge came; 0 if none ever did.", age)
	m.Counter("probe_beaker_lines_taken_total", "Lines that were taken in.", s.counts.taken)
	m.Counter("probe_beaker_lines_late_total", "Gauges left out because a later one had come before them.", s.counts.late)
	m.Counter("probe_beaker_lines_over_budget_total", "Lines left out because max_series labs, architectures and power types are known.", s.counts.overBudget)
	m.Counter("probe_beaker_lines_refused_total", "Lines left out because they are not from one of the senders.", s.counts.refused)
	m.Counter("probe_beaker_lines_unknown_total", "Lines with the prefix whose name Beaker is not known to send.", s.counts.unknown)
	m.Counter("probe_beaker_lines_unclaimed_total", "Lines that came to the listen_address with the prefix of no module.", unclaimed)
	m.Counter("probe_beaker_lines_malformed_total", "Lines that came to the listen_address and are not NAME VALUE TIMESTAMP.", malformed)
	if s.receiving {
		s.export(&m)
	}
	m.Gauge("probe_beaker_duration_seconds", phaseHelp, time.Since(start).Seconds(), "phase", "wait")
	return m
}

// export adds the series in a fixed order; counters begin with 0.
func (s snapshot) export(m *probe.Metrics) {
	values := make(map[series]float64, len(s.held))
	for _, c := range counters() {
		values[c] = 0
	}
	for k, v := range s.held {
		values[k] = v.value
	}
	for _, k := range slices.SortedFunc(maps.Keys(values), compare) {
		t := probe.Gauge
		if k.family.counter {
			t = probe.Counter
		}
		var labels []string
		for _, f := range []field{k.a, k.b} {
			if f.name != "" {
				labels = append(labels, f.name, f.value)
			}
		}
		m.Add(t, k.family.name, k.family.help, values[k], labels...)
	}
}

func compare(a, b series) int {
	return cmp.Or(strings.Compare(a.family.name, b.family.name), strings.Compare(a.b.value, b.b.value), strings.Compare(a.a.value, b.a.value))
}
