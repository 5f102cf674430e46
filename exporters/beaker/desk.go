package beaker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	lookAgain = time.Second      // at what listens, and at what cannot
	onlyOnce  = 15 * time.Minute // how long a listener stays that one probe asked for
	atLeast   = 2 * time.Minute  // how long it stays in any case
)

// desk is where probes and the task meet: a probe asks for a listener, which
// the task opens and keeps as long as probes ask. Modules themselves open
// nothing: they are also built to be checked, and for reloads that are refused.
type desk struct {
	log     *slog.Logger
	metrics *metrics
	started chan struct{} // closed when the task runs
	poke    chan struct{}

	mu   sync.Mutex // guards what follows
	open map[string]*listener
}

func newDesk(log *slog.Logger, m *metrics) *desk {
	return &desk{log: log, metrics: m, started: make(chan struct{}), poke: make(chan struct{}, 1), open: map[string]*listener{}}
}

// ask finds the listener of the address and waits until it listens, or cannot.
func (d *desk) ask(ctx context.Context, o *carbonOptions) (*listener, *lab, error) {
	now := time.Now()
	d.mu.Lock()
	l := d.open[o.ListenAddress]
	if l == nil {
		l = newListener(o.ListenAddress, d.metrics, now)
		d.open[o.ListenAddress] = l
	}
	d.mu.Unlock()
	found := l.claim(o, now)
	select {
	case d.poke <- struct{}{}:
	default: // the task will look anyway
	}
	select {
	case <-l.opened:
		return l, found, l.failure()
	case <-ctx.Done():
		return l, found, fmt.Errorf("open %s: %w", o.ListenAddress, ctx.Err())
	}
}

func (l *listener) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// run opens and closes listeners until ctx ends.
func (d *desk) run(ctx context.Context) {
	close(d.started)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	defer d.closeAll()
	for {
		d.tend(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-d.poke:
		case <-tick.C:
		}
	}
}

// tend closes what nobody asks for and opens what is wanted.
func (d *desk) tend(ctx context.Context, now time.Time) {
	for _, l := range d.all() {
		if l.unasked(now) {
			d.shut(l, "no probe asks for it any more")
		}
	}
	for _, l := range d.all() {
		if l.udp == nil {
			d.try(ctx, l, now)
		}
	}
}

// all are the listeners, open or not.
func (d *desk) all() []*listener {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*listener, 0, len(d.open))
	for _, l := range d.open {
		list = append(list, l)
	}
	return list
}

// try opens l. A listener on the same port that no probe has asked for since l
// was wanted is of a configuration that holds no more, and makes way.
func (d *desk) try(ctx context.Context, l *listener, now time.Time) {
	for _, other := range d.all() {
		if other != l && other.udp != nil && other.blocks(l) && other.idleSince(l, now) {
			d.shut(other, "another module listens on its port")
		}
	}
	err := l.open(ctx)
	l.mu.Lock()
	first := l.err == nil
	l.err = err
	l.mu.Unlock()
	switch {
	case err == nil:
		d.metrics.listeners.Inc()
		d.log.Info("listening for Beaker", "address", l.address)
	case first:
		d.log.Error("cannot listen for Beaker", "address", l.address, "err", err)
	}
	select {
	case <-l.opened:
	default:
		close(l.opened)
	}
}

// blocks tells whether two listeners have one port.
func (l *listener) blocks(other *listener) bool {
	_, a, errA := net.SplitHostPort(l.address)
	_, b, errB := net.SplitHostPort(other.address)
	return errA == nil && errB == nil && a == b && a != "0"
}

// idleSince tells whether nobody asked for l since the other was wanted.
func (l *listener) idleSince(other *listener, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked.Before(other.wanted) && now.Sub(l.asked) > 2*l.gap
}

// unasked tells whether probes ask no more: they would have asked three times.
func (l *listener) unasked(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	patience := onlyOnce
	if l.gap > 0 {
		patience = max(atLeast, 3*l.gap)
	}
	return now.Sub(l.asked) > patience
}

func (d *desk) shut(l *listener, why string) {
	d.mu.Lock()
	if d.open[l.address] == l {
		delete(d.open, l.address)
	}
	d.mu.Unlock()
	if l.udp != nil {
		l.close()
		d.metrics.listeners.Dec()
		d.log.Info("no longer listening for Beaker", "address", l.address, "why", why)
	}
}

func (d *desk) closeAll() {
	for _, l := range d.all() {
		d.shut(l, "Collie ends")
	}
}
