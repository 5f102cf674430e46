package exporters

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/signal"
)

// change is something about a target that is to be stored: a transition, a
// snapshot, its removal, or only a ping.
type change struct {
	target   *target
	row      row
	signal   bool // false for a ping that changed nothing
	observed time.Time
	started  time.Time
	body     signal.Target
	done     chan struct{} // closed once it is durable; nil if nobody waits
}

// message is the signal of the change, as it goes on the queue.
func (c *change) message(source string) (queue.Message, error) {
	body, err := json.Marshal(c.body)
	if err != nil {
		return queue.Message{}, err
	}
	labels := map[string]string{"target": c.body.Name, "tier": c.body.Tier}
	if c.body.Probe != "" {
		labels["probe"] = c.body.Probe
	}
	s, err := signal.New(signal.Signal{
		ID:   fmt.Sprintf("%s/%s/%d", source, c.body.Name, c.row.seq),
		Kind: signal.KindTarget, Source: source, Subject: signal.TargetSubject(c.body.Name),
		Status: c.body.State.Status(), Seq: c.row.seq, Observed: c.observed, Started: c.started, Labels: labels, Body: body,
	})
	if err != nil {
		return queue.Message{}, err
	}
	raw, err := json.Marshal(s)
	return queue.Message{Topic: signal.TopicSignals, Key: s.ID, Body: raw}, err
}

// Bounds of the pending list, for a disk that stays full.
const (
	maxPerTarget = 1_000   // changes; further ones are folded into the last
	maxPending   = 100_000 // of all targets
	thinEvidence = 2_000   // from so many on, evidence is left out
	maxPerCommit = 500
)

// pending are the changes that wait to be stored, in order.
type pending struct {
	list   []*change
	saving int // so many of the oldest are in a commit: they do not change any more
	folded int // transitions that were folded into others, ever
}

func (p *pending) add(c *change) {
	t := c.target
	if len(p.list) >= thinEvidence {
		c.body.Evidence = ""
		c.row.machine.Evidence = ""
	}
	if t.queued >= maxPerTarget || len(p.list) >= maxPending {
		if p.fold(c) {
			return
		}
	}
	t.queued++
	p.list = append(p.list, c)
}

// fold puts c in the place of the last change of its target: the state between
// is lost to the record, which keeps the order and the newest state. Pings
// stay, somebody waits for them.
func (p *pending) fold(c *change) bool {
	for i := len(p.list) - 1; i >= p.saving; i-- {
		old := p.list[i]
		if old.target != c.target {
			continue
		}
		if !old.signal || !c.signal || old.done != nil {
			return false
		}
		c.body.Previous = old.body.Previous
		p.list[i] = c
		p.folded++
		return true
	}
	return false
}

// next is what one commit takes: the oldest changes, and whether that is all.
func (p *pending) next() (changes []*change, all bool) {
	n := min(len(p.list), maxPerCommit)
	p.saving = n
	return p.list[:n:n], n == len(p.list)
}

// stored forgets the changes that next gave out.
func (p *pending) stored() {
	n := p.saving
	p.saving = 0
	for _, c := range p.list[:n] {
		c.target.queued--
		if c.done != nil {
			close(c.done)
		}
	}
	clear(p.list[:n])
	if p.list = p.list[n:]; len(p.list) == 0 {
		p.list = nil // the memory of a long outage goes back
	}
}

// transition is the change that a transition of t makes. It gives t its next
// sequence number.
func (t *target) transition(tr *verdict.Transition) *change {
	body := t.body()
	body.Previous, body.Reason, body.Cause, body.Rule = tr.From, tr.Reason, tr.Cause, tr.Rule
	if tr.To == signal.Suspect || tr.To == signal.Down {
		body.Evidence = t.evidence(tr.Started)
	}
	return t.change(body, tr.At, tr.Started)
}

// snapshot tells the state of t without changing it.
func (t *target) snapshot(now time.Time) *change {
	body := t.body()
	body.Snapshot, body.Reason, body.Cause = true, t.machine.Reason, t.machine.Cause
	return t.change(body, now, t.machine.Failing)
}

// removal is the last word about t.
func (t *target) removal(now time.Time) *change {
	body := t.body()
	body.Previous, body.State, body.Removed, body.Rule = t.machine.State, signal.Unknown, true, "it left the configuration"
	c := t.change(body, now, time.Time{})
	c.row.removed, c.row.state, c.row.since = true, signal.Unknown, now
	return c
}

func (t *target) change(body signal.Target, observed, started time.Time) *change {
	t.seq++
	return &change{target: t, row: t.row(), signal: true, observed: observed, started: started, body: body}
}

// ping is the change that a ping makes which changes no state.
func (t *target) ping() *change { return &change{target: t, row: t.row(), body: t.body()} }

// row is t as it is stored.
func (t *target) row() row {
	return row{
		name: t.cfg.Name, state: t.machine.State, since: t.machine.Since,
		seq: t.seq, machine: t.machine, lastPing: t.lastPing,
	}
}
