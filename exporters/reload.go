package exporters

import (
	"context"
	"fmt"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// Reload takes a configuration that was validated. A target that stays, by its
// name, keeps its state and its place in the schedule. An error means that the old configuration still holds.
func (e *Exporter) Reload(_ context.Context, c Config, modules []probe.Module) error {
	b, err := e.build(c, modules)
	if err != nil {
		return fmt.Errorf("reload targets: %w", err)
	}
	e.replace(c, b)
	e.schedule.SetLimits(c.Probe.Concurrency, c.Probe.PerHost)
	return e.schedule.Set(e.jobs())
}

func (e *Exporter) replace(c Config, b built) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.look()
	e.clock.SetStall(c.Probe.Lease)
	old := e.targets
	e.cfg, e.modules, e.addresses, e.named = c, b.modules, b.addresses, b.named
	e.targets, e.order = make(map[string]*target, len(b.targets)), nil
	for _, t := range b.targets {
		name := t.cfg.Name
		if before := old[name]; before != nil {
			e.renew(before, t, now)
			t = before
		} else if e.running {
			e.expectPing(t)
			e.introduce(t, e.former[name], now)
		}
		delete(e.former, name)
		e.targets[name] = t
		e.order = append(e.order, name)
	}
	for name, t := range old {
		if e.targets[name] == nil && e.running {
			e.remove(t, now)
		}
	}
	e.signalWriter()
}

// renew gives a target that stays its new configuration.
func (e *Exporter) renew(t, wanted *target, now time.Time) {
	before := t.cfg
	t.cfg, t.rule, t.module = wanted.cfg, wanted.rule, wanted.module
	if before.Heartbeat == nil || wanted.cfg.Heartbeat == nil || *before.Heartbeat != *wanted.cfg.Heartbeat {
		e.expectPing(t)
	}
	if before.same(t.cfg) {
		return
	}
	if before.Target != t.cfg.Target || before.Probe != t.cfg.Probe {
		t.version++
		t.last = nil
	}
	if e.running {
		e.pending.add(t.snapshot(now))
	}
}
