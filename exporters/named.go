package exporters

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// targetPrefix begins the name of a module that is a configured target.
const targetPrefix = "target/"

// withName is the module that a configured target is, with its own options.
func withName(target string) string { return targetPrefix + target }

// IsTarget reports whether the name of a module means a configured target, as
// target/NAME does.
func IsTarget(module string) bool { return strings.HasPrefix(module, targetPrefix) }

// Named is the module target/NAME: how the configured target of that name is
// probed, its own options and time limit included, and its address.
func (c Config) Named(name string, modules []probe.Module, kinds []probe.Kind) (m probe.Module, address string, err error) {
	var known []string
	for _, t := range c.Targets {
		switch {
		case t.Heartbeat != nil:
			if withName(t.Name) == name {
				return m, "", fmt.Errorf("%s reports itself (heartbeat): there is nothing to probe", name)
			}
			continue
		case withName(t.Name) != name:
			known = append(known, withName(t.Name))
			continue
		}
		i := slices.IndexFunc(modules, func(m probe.Module) bool { return m.Name == t.Probe })
		if i < 0 {
			return m, "", fmt.Errorf("%s: unknown module %q", name, t.Probe)
		}
		_, m, err = t.modules(modules[i], kinds)
		return m, t.Target, err
	}
	return m, "", fmt.Errorf("unknown module %q: no target of that name is configured%s", name, strictyaml.Suggestion(name, known))
}

// modules are how the target is probed, by the schedule and as target/NAME.
func (t TargetConfig) modules(m probe.Module, kinds []probe.Kind) (scheduled, named probe.Module, err error) {
	if t.With.Kind != 0 {
		if m, err = withOptions(t, m, kinds, func(int, string, ...any) {}); err != nil {
			return m, m, err
		}
	}
	scheduled, named = m, m
	scheduled.Timeout = t.TimeLimit(m.Timeout)
	named.Name, named.Timeout = withName(t.Name), cmp.Or(t.Timeout, m.Timeout)
	return scheduled, named, nil
}
