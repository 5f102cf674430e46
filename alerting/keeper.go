package alerting

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"github.com/colliehq/collie/alerting/engine"
)

// keeper stands between rules and Alertmanager. A rule that says nothing any
// more means recovery only if somebody looked: after a restart, while a target's
// state is unknown, or while a scrape fails, the keeper keeps an alert as it was
// until its recovery, or its return, was observed.
type keeper struct {
	a   *Alerting
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	live  map[model.Fingerprint]liveAlert
	held  map[model.Fingerprint]*heldAlert
	ended map[model.Fingerprint]ending
}

// liveAlert is one that a rule tells to be firing.
type liveAlert struct {
	alert *alert.Alert
	told  time.Time // last
}

// heldAlert is kept as firing.
type heldAlert struct {
	alert *alert.Alert
	clear time.Time // since when nothing speaks against believing the rules; zero if something does
}

// ending is how the last recovery that a rule told was taken. Rules tell it
// again and again.
type ending struct {
	at   time.Time // by the rule
	held bool      // it was not believed, and the keeper decides
}

const (
	keepEvery = time.Second
	// Rules give an alert that goes on four times the interval at which they
	// tell it; after that it is for the keeper to decide.
	silentFor = 4 * engine.Resend
	// Alertmanager takes an alert for resolved when its end has passed, also
	// because this process was stopped for a while. Here only the keeper ends
	// alerts, so that they are given an end that does not come.
	keepFor = 10 * 365 * 24 * time.Hour
	// rules forget a recovery after 15 minutes, and tell it no more.
	endingFor = 20 * time.Minute
	// gateMost is how long telling waits for fresh samples of ourselves: an
	// alert that is told twice is better than none.
	gateMost = 2 * time.Minute
	// resolveTimeout is how long an alert of unknown origin stays without being
	// told again, as in Alertmanager.
	resolveTimeout = 5 * time.Minute
)

func newKeeper(a *Alerting) *keeper {
	return &keeper{a: a, log: a.log, now: a.o.Now, live: map[model.Fingerprint]liveAlert{}, held: map[model.Fingerprint]*heldAlert{}, ended: map[model.Fingerprint]ending{}}
}

// put hands alerts to Alertmanager, here or elsewhere.
func (a *Alerting) put(ctx context.Context, alerts ...*alert.Alert) {
	if len(alerts) == 0 {
		return
	}
	if a.outside != nil {
		a.outside.send(alerts)
		return
	}
	if err := a.manager.Alerts().Put(ctx, alerts...); err != nil {
		a.log.Error("alerts are not taken", "alerts", len(alerts), "err", err)
	}
}

// notify implements rules.NotifyFunc.
func (k *keeper) notify(ctx context.Context, expr string, told ...*rules.Alert) {
	var alerts []*alert.Alert
	for _, t := range told {
		a := k.convert(expr, t)
		if k.believe(ctx, t, a) {
			alerts = append(alerts, a)
		}
	}
	k.a.put(ctx, alerts...)
}

func (k *keeper) convert(expr string, t *rules.Alert) *alert.Alert {
	a := &alert.Alert{UpdatedAt: k.now(), Alert: model.Alert{
		Labels: labelSet(t.Labels), Annotations: labelSet(t.Annotations),
		StartsAt: t.FiredAt, EndsAt: t.ValidUntil, GeneratorURL: k.link(expr),
	}}
	switch {
	case !t.ResolvedAt.IsZero():
		a.EndsAt = t.ResolvedAt
	case k.a.manager != nil: // those elsewhere cannot know that we are away
		a.EndsAt = k.now().Add(keepFor)
	}
	return a
}

// link shows the present result of an expression.
func (k *keeper) link(expr string) string {
	u, err := k.a.external("/api/v1/query")
	if err != nil {
		return ""
	}
	u.RawQuery = url.Values{"query": {expr}}.Encode()
	return u.String()
}

func labelSet(ls labels.Labels) model.LabelSet {
	set := model.LabelSet{}
	ls.Range(func(l labels.Label) { set[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return set
}

// believe says whether to pass on what a rule tells. A recovery that nobody can
// have observed is not passed on: the alert is held.
func (k *keeper) believe(ctx context.Context, t *rules.Alert, a *alert.Alert) bool {
	fp := a.Fingerprint()
	k.mu.Lock()
	before, known := k.ended[fp]
	k.mu.Unlock()
	if t.ResolvedAt.IsZero() {
		k.firing(fp, a)
		return true
	}
	if known && before.at.Equal(t.ResolvedAt) {
		return !before.held
	}
	blind := k.blind(ctx, t.Labels, t.ResolvedAt)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended[fp] = ending{t.ResolvedAt, blind}
	delete(k.live, fp)
	if !blind {
		delete(k.held, fp)
		return true
	}
	k.log.Info("an alert is kept: its recovery was not observed", "alertname", a.Name(), "fingerprint", fp.String())
	kept := *a
	kept.EndsAt = k.now().Add(k.keepFor())
	k.held[fp] = &heldAlert{alert: &kept}
	return false
}

func (k *keeper) firing(fp model.Fingerprint, a *alert.Alert) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live[fp] = liveAlert{a, k.now()}
	delete(k.ended, fp)
	delete(k.held, fp)
}

// blind reports that what rules say about these labels at a time may come from
// not having looked.
func (k *keeper) blind(ctx context.Context, ls labels.Labels, at time.Time) bool {
	e, now := k.a.engine, k.now()
	target, job := ls.Get("target"), ls.Get("job")
	ours := target != "" || job == "" || job == selfJob || job == targetsJob
	if ours && !e.Scraped(now, selfJob, targetsJob) || e.Lost(ls, now) {
		return true
	}
	if target == "" {
		return false
	}
	unknown, err := e.Unknown(ctx, target, at)
	if err != nil {
		k.log.Warn("whether a target is watched cannot be found", "target", target, "err", err)
	}
	return unknown || err != nil
}

// run holds what was restored, opens the gate once rules speak of the present,
// and lets go of alerts as soon as more is known.
func (k *keeper) run(ctx context.Context) error {
	close(k.a.ready)
	gate := gate{k: k, opened: k.now()}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	quick := time.NewTicker(keepEvery / 10)
	defer quick.Stop()
	open := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-quick.C:
			if open = gate.look(); !open {
				continue
			}
			quick.Stop()
			if err := k.a.engine.Forget(ctx, gate.fresh); err != nil {
				k.log.Warn("what rules recorded before the start is seen for five minutes more", "err", err)
			}
			if k.a.manager != nil {
				k.a.manager.Start()
			}
			close(k.a.open)
		case <-tick.C:
			k.look(ctx, open)
		}
	}
}

// gate is closed until all rules were evaluated on samples of this session.
type gate struct {
	k      *keeper
	opened time.Time // when the waiting began
	fresh  time.Time // since when our own samples are there
}

func (g *gate) look() bool {
	now, e := g.k.now(), g.k.a.engine
	if g.fresh.IsZero() {
		g.fresh = e.Looked()
	}
	if g.fresh.IsZero() && e.Scraped(now, selfJob, targetsJob) {
		g.fresh = now
	}
	if !g.fresh.IsZero() && e.Evaluated(g.fresh) {
		return true
	}
	if now.Sub(g.opened) < gateMost {
		return false
	}
	g.k.log.Error("our own metrics cannot be scraped or rules not be evaluated: alerts are told all the same, and recoveries after the start may not be")
	return true
}

func labelsOf(set model.LabelSet) labels.Labels {
	b := labels.NewScratchBuilder(len(set))
	for name, value := range set {
		b.Add(string(name), string(value))
	}
	b.Sort()
	return b.Labels()
}

// look decides about each held alert: kept for longer, or let go as recovered.
func (k *keeper) look(ctx context.Context, open bool) {
	for fp, h := range k.review() {
		recovered := open && k.recovered(ctx, h)
		k.mu.Lock()
		if k.held[fp] != h { // a rule told it meanwhile
			k.mu.Unlock()
			continue
		}
		next := *h.alert
		next.UpdatedAt = k.now()
		switch {
		case recovered:
			next.EndsAt = k.now()
			delete(k.held, fp)
		case next.EndsAt.Sub(k.now()) < k.keepFor()/2:
			next.EndsAt = k.now().Add(k.keepFor())
		default:
			k.mu.Unlock()
			continue
		}
		h.alert = &next
		k.mu.Unlock()
		k.a.put(ctx, &next)
	}
}

// reloaded takes over alerts of rules that are no more.
func (k *keeper) reloaded() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for fp, l := range k.live {
		if k.a.engine.Judge(labelsOf(l.alert.Labels), time.Time{}) == engine.NoRule {
			k.held[fp] = &heldAlert{alert: l.alert}
			delete(k.live, fp)
		}
	}
}

// review takes over what rules have not told for a while, such as alerts of a
// rule that a reload took away, and returns what is held.
func (k *keeper) review() map[model.Fingerprint]*heldAlert {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for fp, l := range k.live {
		if now.Sub(l.told) > silentFor {
			k.held[fp] = &heldAlert{alert: l.alert}
			delete(k.live, fp)
		}
	}
	for fp, e := range k.ended {
		if now.Sub(e.at) > endingFor {
			delete(k.ended, fp)
		}
	}
	return maps.Clone(k.held)
}

// keepFor is how long Alertmanager takes the keeper's word.
func (k *keeper) keepFor() time.Duration {
	if k.a.manager != nil {
		return keepFor
	}
	return silentFor
}

// recovered reports that the alert's rules were evaluated, and say nothing of
// it, after the time from which they can be believed.
func (k *keeper) recovered(ctx context.Context, h *heldAlert) bool {
	ls := labelsOf(h.alert.Labels)
	if k.blind(ctx, ls, k.now()) {
		h.clear = time.Time{}
		return false
	}
	if h.clear.IsZero() {
		h.clear = k.now()
	}
	switch k.a.engine.Judge(ls, h.clear) {
	case engine.Quiet:
		return true
	case engine.NoRule: // a reload took the rule away
		return true
	default:
		return false
	}
}
