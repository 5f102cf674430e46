package exporters

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/clock"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/resolver"
	"github.com/colliehq/collie/exporters/schedule"
	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/internal/store"
)

// Options of an exporter. Store, Registry, Log and Source must be set, and the
// subscriptions to the topics of signals and leases declared before Run.
type Options struct {
	Config   Config
	Modules  []probe.Module
	Kinds    []probe.Kind // for targets with options of their own
	Store    *store.Store
	Registry prometheus.Registerer
	Log      *slog.Logger
	Source   string           // "exporter/HOST", in all signals
	Now      func() time.Time // wall time; nil means the machine's

	Resolver    probe.Resolver // nil: a shared one that obeys TTLs
	ExternalURL string         // how an outside Prometheus reaches us; empty: as it asked

	clock  *clock.Source // tests step it
	record record        // tests replace the store
}

// Exporter is the role that looks. It is a task: Run it once.
type Exporter struct {
	o        Options
	log      *slog.Logger
	record   record
	schedule *schedule.Schedule
	resolver probe.Resolver
	own      *resolver.Resolver // to close; nil if another one was given
	metrics  *metrics
	session  string
	ready    chan struct{}
	wake     chan struct{} // there is something to store

	mu        sync.Mutex
	clock     *clock.Clock
	cfg       Config
	modules   map[string]probe.Module
	targets   map[string]*target
	order     []string        // of the configuration
	addresses map[string]bool // that are configured
	named     map[string]string
	running   bool
	former    map[string]row // of targets that are not configured now
	pending   pending
	blind     time.Time // until then we did not look
	failing   error     // why the last commit failed; nil once one works
	leaseSeq  uint64
	leased    time.Duration // monotonic time of the last stored lease
}

// New prepares the exporter: it opens its tables and makes the probes. Nothing
// is looked at before Run.
func New(ctx context.Context, o Options) (*Exporter, error) {
	e := &Exporter{
		o: o, log: o.Log, record: o.record, resolver: o.Resolver, session: newSession(),
		ready: make(chan struct{}), wake: make(chan struct{}, 1),
		targets: map[string]*target{}, former: map[string]row{},
	}
	if e.record == nil {
		r, err := openRecord(ctx, o.Store)
		if err != nil {
			return nil, err
		}
		e.record = r
	}
	built, err := e.build(o.Config, o.Modules)
	if err != nil {
		return nil, err
	}
	if e.resolver == nil {
		e.own = resolver.New(resolver.Options{Registry: o.Registry})
		e.resolver = e.own
	}
	e.schedule = schedule.New(schedule.Options{
		Concurrency: o.Config.Probe.Concurrency, PerHost: o.Config.Probe.PerHost, Registry: o.Registry,
	})
	e.clock = clock.New(e.source(), time.Time{}, o.Config.Probe.Lease)
	e.metrics = newMetrics(o.Registry, e)
	e.cfg, e.modules, e.addresses, e.named = o.Config, built.modules, built.addresses, built.named
	for _, t := range built.targets {
		e.targets[t.cfg.Name] = t
		e.order = append(e.order, t.cfg.Name)
	}
	return e, nil
}

func newSession() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	return hex.EncodeToString(raw[:])
}

func (e *Exporter) source() clock.Source {
	switch {
	case e.o.clock != nil:
		return *e.o.clock
	case e.o.Now != nil:
		return clock.FromNow(e.o.Now)
	default:
		return clock.System()
	}
}

// Name of the task.
func (e *Exporter) Name() string { return "exporter" }

// Ready is closed once what an earlier session knew has been told and probing
// has begun.
func (e *Exporter) Ready() <-chan struct{} { return e.ready }

// Run looks until ctx ends, then stores what was judged and a last lease, and
// returns nil. An error means that the states of the last session cannot be
// read.
func (e *Exporter) Run(ctx context.Context) error {
	if e.own != nil {
		defer e.own.Close()
	}
	last, err := e.record.load(ctx)
	if err != nil {
		return err
	}
	e.begin(last)
	if err := e.flush(ctx, true); err != nil {
		e.signalWriter() // it was said; the writer tries again
	}
	if err := e.schedule.Set(e.jobs()); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer e.drain(ctx)
	defer wg.Wait()
	wg.Go(func() { e.watchClock(ctx) })
	wg.Go(func() { e.write(ctx) })
	close(e.ready)
	return e.schedule.Run(ctx)
}

// begin goes on from the last session: every target that it knew is unknown
// since its watermark, what is no longer configured is said to be removed, and
// a snapshot tells of each target that is.
func (e *Exporter) begin(last memory) {
	e.mu.Lock()
	defer e.mu.Unlock()
	after := last.watermark
	for _, r := range last.rows {
		if r.since.After(after) {
			after = r.since
		}
	}
	e.clock = clock.New(e.source(), after, e.cfg.Probe.Lease)
	e.running = true
	now := e.clock.Now()
	e.leased = e.clock.Mono()
	for name, r := range last.rows {
		if e.targets[name] == nil {
			e.former[name] = r
			if !r.removed {
				e.leave(name, r, last.watermark, now)
			}
		}
	}
	for _, name := range e.order {
		e.resume(e.targets[name], last.rows[name], last.watermark, now)
	}
	if last.session != "" {
		e.metrics.blind.WithLabelValues("start").Inc()
		e.log.Info("exporter begins", "targets", len(e.order), "unknown_since", last.watermark, "away", now.Sub(last.watermark).Round(time.Millisecond))
	}
}

// resume gives a target the state that an earlier session left, or a new one.
func (e *Exporter) resume(t *target, r row, watermark, now time.Time) {
	t.lastPing = r.lastPing
	e.expectPing(t)
	if r.name == "" || r.removed {
		e.introduce(t, r, now)
		return
	}
	t.machine, t.seq = r.machine, r.seq
	e.unknown(t, watermark, "the exporter was not running")
	e.pending.add(t.snapshot(now))
}

// introduce makes a target known that is new, or configured again.
func (e *Exporter) introduce(t *target, former row, now time.Time) {
	t.machine = verdict.New(now)
	// A data directory that was wiped must not repeat the sequence.
	t.seq = max(former.seq, uint64(max(now.UnixMilli(), 0)))
	e.pending.add(t.snapshot(now))
}

// leave says that a target of an earlier session is no longer configured.
func (e *Exporter) leave(name string, r row, watermark, now time.Time) {
	t := &target{cfg: TargetConfig{Name: name}, machine: r.machine, seq: r.seq, lastPing: r.lastPing, gone: true}
	e.unknown(t, watermark, "the exporter was not running")
	e.remove(t, now)
}

func (e *Exporter) remove(t *target, now time.Time) {
	t.gone = true
	c := t.removal(now)
	e.pending.add(c)
	e.former[t.cfg.Name] = c.row
}

// unknown makes t unknown from at on.
func (e *Exporter) unknown(t *target, at time.Time, rule string) {
	machine, tr := t.machine.Blind(at, rule)
	t.machine, t.last = machine, nil
	if tr != nil {
		e.pending.add(t.transition(tr))
	}
}

// jobs are the probes for the schedule.
func (e *Exporter) jobs() []schedule.Job {
	e.mu.Lock()
	defer e.mu.Unlock()
	var jobs []schedule.Job
	for _, name := range e.order {
		t := e.targets[name]
		if t.cfg.Heartbeat != nil {
			continue
		}
		jobs = append(jobs, schedule.Job{
			Name: name, Host: t.host(), Every: t.cfg.Every,
			Run: func(ctx context.Context) { e.probe(ctx, t) },
		})
	}
	return jobs
}

// built is a configuration made into probes.
type built struct {
	targets   []*target
	modules   map[string]probe.Module
	addresses map[string]bool
	named     map[string]string // the addresses of the modules target/NAME
}

// build makes the targets of a configuration that was validated before.
func (e *Exporter) build(c Config, modules []probe.Module) (built, error) {
	b := built{modules: make(map[string]probe.Module, len(modules)+len(c.Targets)), addresses: map[string]bool{}, named: map[string]string{}}
	for _, m := range modules {
		b.modules[m.Name] = m
	}
	for _, cfg := range c.Targets {
		t := &target{cfg: cfg, rule: cfg.rule()}
		b.targets = append(b.targets, t)
		if cfg.Heartbeat != nil {
			continue
		}
		m, known := b.modules[cfg.Probe]
		if !known {
			return built{}, fmt.Errorf("target %s: unknown module %q", cfg.Name, cfg.Probe)
		}
		scheduled, named, err := cfg.modules(m, e.o.Kinds)
		if err != nil {
			return built{}, err
		}
		t.module, b.modules[named.Name] = scheduled, named
		b.addresses[cfg.Target], b.named[named.Name] = true, cfg.Target
	}
	return b, nil
}
