package local

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Pauses and bounds of the helpers.
const (
	idleAfter  = 5 * time.Minute  // no probe for so long: the helper goes
	startPause = 10 * time.Second // after a helper that did not come up
	maxLeaving = 4                // helpers that were told to end and are still there
)

// helpers keeps one helper, which serves all mounts: its calls hang each in
// their own thread. A process per mount would cost a program's memory each, and
// gain only that a hanging call can be ended alone. That is done here by
// ending the helper, for a call whose mount is gone.
type helpers struct {
	log    *slog.Logger
	starts prometheus.Counter

	mu      sync.Mutex // guards what follows
	current *helper    // nil: none
	leaving []*helper  // told to end; those in an uninterruptible call are still there
	idle    *time.Timer
	used    time.Time
	failed  time.Time // when a helper last ended before it was ready
	closed  bool
}

// newAsker returns how file systems are asked for their sizes.
func newAsker(log *slog.Logger, reg prometheus.Registerer) asker {
	if !hooked.Load() {
		return inProcess{statfs}
	}
	h := &helpers{log: log}
	f := promauto.With(reg)
	h.starts = f.NewCounter(prometheus.CounterOpts{
		Name: "collie_statfs_helper_starts_total", Help: "Helper processes started to ask file systems for their sizes.",
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "collie_statfs_helpers", Help: "Helper processes that are there, those that were ended but hang in the kernel included.",
	}, func() float64 { n, _ := h.count(); return float64(n) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "collie_statfs_calls_in_flight", Help: "Calls for the size of a file system that have not returned, at most one for each mount.",
	}, func() float64 { _, n := h.count(); return float64(n) })
	return h
}

func (p *helpers) ask(ctx context.Context, path string) (*call, error) {
	h, err := p.helper()
	if err != nil {
		return nil, err
	}
	c, err := h.ask(ctx, path)
	if errors.Is(err, errLost) && !h.greeted() {
		return nil, errors.New("the helper process that asks for sizes ended before it was ready")
	}
	return c, err
}

// helper returns the current helper, and starts one if there is none.
func (p *helpers) helper() (*helper, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = time.Now()
	if p.current != nil && p.current.ended() {
		if !p.current.greeted() {
			p.failed = p.used
		}
		p.current = nil
	}
	switch {
	case p.current != nil:
		return p.current, nil
	case p.closed:
		return nil, errLost
	case !p.failed.IsZero() && time.Since(p.failed) < startPause:
		return nil, errors.New("the helper process that asks for sizes ended before it was ready; it is tried again in a few seconds")
	}
	h, err := startHelper()
	if err != nil {
		return nil, err
	}
	p.starts.Inc()
	p.current = h
	go h.listen(p.log) // close waits for h.gone
	if p.idle == nil {
		p.idle = time.AfterFunc(idleAfter, p.reap)
	}
	return h, nil
}

// reap lets the helper go when nobody has asked for long and no call hangs.
func (p *helpers) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = nil
	if p.closed || p.current == nil {
		return
	}
	if rest := idleAfter - time.Since(p.used); rest > 0 || p.current.busy() {
		p.idle = time.AfterFunc(max(rest, idleAfter/10), p.reap)
		return
	}
	p.current.hangUp()
	p.leaving = append(p.leaving, p.current)
	p.current = nil
}

// abandon ends the helper for a call that hangs on a mount that is gone, which
// nobody will ever answer. Other mounts that hang are asked again by the next
// helper, once this one has really ended.
func (p *helpers) abandon(c *call) {
	if time.Since(c.sent) < patience {
		return // it is on its way back
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	if p.current == nil || len(p.leaving) >= maxLeaving {
		return
	}
	p.log.Info("ending the statfs helper: a call hangs on a mount that is gone", "pid", p.current.pid)
	p.current.mu.Lock()
	p.current.kill()
	p.current.mu.Unlock()
	p.leaving = append(p.leaving, p.current)
	p.current = nil
}

// tidy forgets helpers that have ended. The caller holds p.mu.
func (p *helpers) tidy() {
	var there []*helper
	for _, h := range p.leaving {
		if !h.ended() {
			there = append(there, h)
		}
	}
	p.leaving = there
}

// count returns how many helpers are there, and how many calls are out.
func (p *helpers) count() (helpers, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	all := p.leaving
	if p.current != nil && !p.current.ended() {
		all = append(slices.Clip(all), p.current)
	}
	for _, h := range all {
		h.mu.Lock()
		calls += len(h.out)
		h.mu.Unlock()
	}
	return len(all), calls
}

// close ends the helper and waits for it, but not for long: one that hangs in
// the kernel is left to it, and holds nothing of ours.
func (p *helpers) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.idle != nil {
		p.idle.Stop()
	}
	h := p.current
	if p.current = nil; h == nil {
		return nil
	}
	h.mu.Lock()
	h.kill() // it has nothing to put in order
	h.mu.Unlock()
	select {
	case <-h.gone:
		return nil
	case <-time.After(patience):
		return errors.New("the helper process that asks for sizes hangs in the kernel and is left behind")
	}
}
