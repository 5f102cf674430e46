package exporters

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// Bad is told of each mistake: where it stands, as in "targets[2].every", and a
// sentence.
type Bad func(path, format string, args ...any)

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$`)

// Validate tells bad every mistake that can be seen without the module file.
func (c Config) Validate(bad func(path, format string, args ...any)) {
	c.Probe.validate(bad)
	first := map[string]int{}
	var names []string
	for i, t := range c.Targets {
		at := fmt.Sprintf("targets[%d]", i)
		t.validate(at, bad)
		if j, twice := first[t.Name]; twice && t.Name != "" {
			bad(at+".name", "%q is already the name of target %d in the list; each target needs its own", t.Name, j+1)
			continue
		}
		first[t.Name] = i
		names = append(names, t.Name)
	}
	c.validateDependencies(names, first, bad)
}

func (p ProbeConfig) validate(bad Bad) {
	if p.Concurrency < 1 || p.Concurrency > 10_000 {
		bad("probe.concurrency", "%d probes at once is not between 1 and 10000", p.Concurrency)
	}
	if p.PerHost < 1 {
		bad("probe.per_host", "%d probes of one host at once; at least 1 is needed", p.PerHost)
	}
	if p.Lease < shortestLease || p.Lease > 10*time.Minute {
		bad("probe.lease", "%s is not between 1s and 10m", strictyaml.FormatDuration(p.Lease))
	}
}

func (t TargetConfig) validate(at string, bad Bad) {
	switch {
	case t.Name == "":
		bad(at+".name", "is missing; every target needs a name")
	case !goodName.MatchString(t.Name):
		bad(at+".name", "%q is no name: use up to 63 letters, digits and . _ : -, beginning with a letter or digit", t.Name)
	}
	if !slices.Contains(Tiers(), t.Tier) {
		bad(at+".tier", "unknown tier %q%s", t.Tier, strictyaml.Suggestion(t.Tier, Tiers()))
	}
	for i, p := range t.Provides {
		if !goodName.MatchString(p) {
			bad(fmt.Sprintf("%s.provides[%d]", at, i), "%q is no name: use letters, digits and . _ : -", p)
		}
	}
	if t.Heartbeat != nil {
		t.validateHeartbeat(at, bad)
		return
	}
	t.validateProbe(at, bad)
}

func (t TargetConfig) validateProbe(at string, bad Bad) {
	switch {
	case t.Probe == "" && t.Target == "":
		bad(at, "says neither what to probe (probe and target) nor that it reports itself (heartbeat)")
		return
	case t.Probe == "":
		bad(at+".probe", "is missing; name a module, as http_2xx, tcp_connect or icmp")
	case t.Target == "":
		bad(at+".target", "is missing; write the address that the probe %s looks at", t.Probe)
	}
	if t.Every < shortestEvery {
		bad(at+".every", "%s is too short; at least 1s is needed", strictyaml.FormatDuration(t.Every))
	}
	if t.Timeout > t.Every {
		bad(at+".timeout", "%s is longer than every (%s), a probe would still run when the next one is due",
			strictyaml.FormatDuration(t.Timeout), strictyaml.FormatDuration(t.Every))
	}
	if t.DownAfter.Failed < 1 {
		bad(at+".down_after", `write a number such as 3 (in a row), or "3 of 5"`)
	}
	if t.UpAfter < 1 || t.UpAfter > 100 {
		bad(at+".up_after", "%d is not between 1 and 100", t.UpAfter)
	}
}

// validateHeartbeat refuses what means nothing for a target that reports
// itself: who writes it expects something to happen.
func (t TargetConfig) validateHeartbeat(at string, bad Bad) {
	if t.Probe != "" {
		bad(at+".probe", "a target has either a probe or a heartbeat, not both; make two targets of it")
	}
	if t.Target != "" {
		bad(at+".target", "a heartbeat has no address: its cron job posts to /ping/%s", t.Name)
	}
	if t.With.Kind != 0 {
		bad(at+".with", "a heartbeat takes no options of a probe")
	}
	t.validateUnused(at, bad)
	if t.Heartbeat.Every < shortestEvery {
		bad(at+".heartbeat.every", "%s is too short; write how often a ping comes, at least 1s", strictyaml.FormatDuration(t.Heartbeat.Every))
	}
}

// validateUnused refuses how to probe what is not probed. A value that is the
// default cannot be told from one that was left out, and changes nothing.
func (t TargetConfig) validateUnused(at string, bad Bad) {
	var none TargetConfig
	none.SetDefaults()
	if t.Every != none.Every {
		bad(at+".every", "a heartbeat says itself how often it comes; write heartbeat: {every: %s}", strictyaml.FormatDuration(t.Every))
	}
	const sentence = "a heartbeat is not probed: silence for every and grace is down, the next ping is up"
	if t.Timeout != none.Timeout {
		bad(at+".timeout", sentence)
	}
	if t.DownAfter != none.DownAfter {
		bad(at+".down_after", sentence)
	}
	if t.UpAfter != none.UpAfter {
		bad(at+".up_after", sentence)
	}
}

func (c Config) validateDependencies(names []string, first map[string]int, bad Bad) {
	good := make(map[string][]string, len(c.Targets))
	for i, t := range c.Targets {
		for j, d := range t.DependsOn {
			at := fmt.Sprintf("targets[%d].depends_on[%d]", i, j)
			_, known := first[d]
			switch {
			case !known:
				bad(at, "unknown target %q%s", d, strictyaml.Suggestion(d, names))
			case d == t.Name:
				bad(at, "%q depends on itself", d)
			case slices.Contains(t.DependsOn[:j], d):
				bad(at, "%q stands twice", d)
			default:
				good[t.Name] = append(good[t.Name], d)
			}
		}
	}
	for i, t := range c.Targets {
		if loop := loopFrom(t.Name, good); loop != nil && i == firstOf(loop, first) {
			bad(fmt.Sprintf("targets[%d].depends_on", i), "goes round in a circle: %s", strings.Join(loop, " needs "))
		}
	}
}

// loopFrom is the shortest way from name back to itself, with name at both
// ends, or nil.
func loopFrom(name string, needs map[string][]string) []string {
	from := map[string]string{}
	for open := []string{name}; len(open) > 0; open = open[1:] {
		for _, next := range needs[open[0]] {
			if next == name {
				return wayBack(name, open[0], from)
			}
			if _, seen := from[next]; !seen {
				from[next] = open[0]
				open = append(open, next)
			}
		}
	}
	return nil
}

func wayBack(name, last string, from map[string]string) []string {
	way := []string{name, last}
	for at := last; at != name; {
		at = from[at]
		way = append(way, at)
	}
	if last == name {
		way = []string{name, name}
	}
	slices.Reverse(way)
	return way
}

// firstOf is the place in the list of the first target of a loop: there the
// loop is told, once.
func firstOf(loop []string, first map[string]int) int {
	at := first[loop[0]]
	for _, name := range loop {
		at = min(at, first[name])
	}
	return at
}

// ValidateModules tells bad of targets whose module is not among the modules,
// and of options that their kind of probe does not take; the line of these is
// known, that of the others is 0.
func (c Config) ValidateModules(modules []probe.Module, kinds []probe.Kind, bad func(line int, path, format string, args ...any)) {
	names := make([]string, len(modules))
	for i, m := range modules {
		names[i] = m.Name
	}
	for i, t := range c.Targets {
		if t.Heartbeat != nil || t.Probe == "" {
			continue
		}
		at := fmt.Sprintf("targets[%d]", i)
		j := slices.Index(names, t.Probe)
		if j < 0 {
			bad(0, at+".probe", "unknown module %q%s", t.Probe, strictyaml.Suggestion(t.Probe, names))
			continue
		}
		if t.With.Kind != 0 {
			_, _ = withOptions(t, modules[j], kinds, func(line int, format string, args ...any) { bad(line, at+".with", format, args...) })
		}
	}
}

// withOptions is the module with the target's own options instead of its own.
func withOptions(t TargetConfig, m probe.Module, kinds []probe.Kind, bad func(line int, format string, args ...any)) (probe.Module, error) {
	i := slices.IndexFunc(kinds, func(k probe.Kind) bool { return k.Name == m.Kind })
	if i < 0 {
		return m, fmt.Errorf("target %s: module %s is of the unknown kind %q", t.Name, m.Name, m.Kind)
	}
	mistakes := 0
	node := t.With
	m.Probe = kinds[i].Build(&node, func(line int, format string, args ...any) {
		mistakes++
		bad(line, format, args...)
	})
	if mistakes > 0 {
		return m, fmt.Errorf("target %s: %d mistakes in its options", t.Name, mistakes)
	}
	m.Name = withName(t.Name)
	m.Config = describe(node)
	return m, nil
}

// describe lists the options that are set, without their values: they may hold
// secrets.
func describe(node yaml.Node) string {
	var b strings.Builder
	for i := 0; i+1 < len(node.Content); i += 2 {
		fmt.Fprintf(&b, "%s: (set by the target's with)\n", node.Content[i].Value)
	}
	return b.String()
}
