package exporters

import (
	"context"
	"log/slog"
	"time"

	"github.com/colliehq/collie/exporters/clock"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/signal"
)

// probe makes one probe of a target and judges it. It is what the schedule
// runs.
func (e *Exporter) probe(ctx context.Context, t *target) {
	for range 2 { // once more if the first proves nothing
		e.mu.Lock()
		began, module, address, version := e.look(), t.module, t.cfg.Target, t.version
		e.mu.Unlock()
		result := probe.Run(ctx, module, probe.Request{
			Target: address, Log: e.log.With("target", t.cfg.Name), Dial: guardOf(address), Resolver: e.resolver,
		})
		if ctx.Err() != nil {
			return // we stop, or the target is gone: that says nothing about it
		}
		if e.judge(t, version, began, result) {
			return
		}
	}
}

// judge takes the result of a probe that began at the given record time. It
// returns false if the result proves nothing because we stood still in between.
func (e *Exporter) judge(t *target, version int, began time.Time, r probe.Result) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.look()
	if t.gone || t.version != version {
		return t.gone // of a target that is another one now, the new one is looked at
	}
	e.metrics.count(t.module.Kind, r.Success)
	if began.Before(e.blind) || r.Reason == probe.Timeout && began.Before(e.clock.Hiccup()) {
		e.metrics.discarded.Inc()
		return false
	}
	t.last = &outcome{at: now, families: r.Metrics.Families()}
	e.apply(t, verdict.Result{At: now, Success: r.Success, Reason: string(r.Reason), Cause: r.Cause, Evidence: r.Evidence})
	return true
}

// apply judges a result of t, and notes the change if the state did.
func (e *Exporter) apply(t *target, r verdict.Result) *change {
	if !r.Success {
		t.keepFailure(r)
	}
	machine, tr := t.machine.Apply(t.rule, r)
	t.machine = machine
	if tr == nil {
		return nil
	}
	c := t.transition(tr)
	e.note(c)
	level := slog.LevelInfo
	if tr.From == signal.Unknown && tr.To == signal.Up {
		level = slog.LevelDebug // at a start this is each of them
	}
	e.log.Log(context.Background(), level, "target changed", "target", t.cfg.Name, "from", tr.From, "to", tr.To, "reason", tr.Reason, "cause", tr.Cause)
	return c
}

// note puts a change on the pending list.
func (e *Exporter) note(c *change) {
	e.pending.add(c)
	e.signalWriter()
}

func (e *Exporter) signalWriter() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// look says that we are looking at this moment. If we were not since the last
// time, everything is unknown from then on. Whatever takes a result or tells
// the watermark goes through here first.
func (e *Exporter) look() time.Time {
	now, gap := e.clock.Tick()
	if gap != nil {
		e.goBlind(*gap)
	}
	return now
}

func (e *Exporter) goBlind(gap clock.Gap) {
	e.blind = gap.To
	e.metrics.blind.WithLabelValues(string(gap.Cause)).Inc()
	e.log.Warn("exporter did not look", "cause", gap.Cause, "from", gap.From, "to", gap.To)
	rule := "collie stood still"
	if gap.Cause == clock.Stepped {
		rule = "the clock was stepped forward, or the machine slept"
	}
	for _, name := range e.order {
		t := e.targets[name]
		e.unknown(t, gap.From, rule)
		e.expectPing(t)
	}
	e.signalWriter()
	e.schedule.Soon()
}

// tickEvery is how often the clock is looked at: several times per shortest
// lease.
const tickEvery = shortestLease / 5

// watchClock looks at the clock several times per lease, so that a stretch in
// which we stood still is found, and tells which heartbeats are overdue.
func (e *Exporter) watchClock(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.tick()
		}
	}
}

func (e *Exporter) tick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.look()
	for _, name := range e.order {
		if t := e.targets[name]; t.cfg.Heartbeat != nil {
			e.checkPing(t, now)
		}
	}
}

// expectPing starts the time in which the next ping of a heartbeat has to come.
func (e *Exporter) expectPing(t *target) {
	if t.cfg.Heartbeat != nil {
		t.deadline = e.clock.Mono() + t.cfg.Heartbeat.Silence()
	}
}

// checkPing judges a heartbeat whose ping did not come.
func (e *Exporter) checkPing(t *target, now time.Time) {
	if t.machine.State == signal.Down || e.clock.Mono() < t.deadline {
		return
	}
	r := verdict.Result{
		At: now, Reason: string(probe.Stale), Cause: "no ping came for " + t.rule.Silence.String(),
		Evidence: "no ping was ever seen",
	}
	if !t.lastPing.IsZero() {
		r.Evidence = "the last ping came at " + t.lastPing.Format(time.RFC3339)
	}
	e.apply(t, r)
}
