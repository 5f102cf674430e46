package exporters

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
	"github.com/colliehq/collie/signal"
)

// flushLimit is how long the last flush may take when we stop.
const flushLimit = 5 * time.Second

// write is the one who stores: what waits, as soon as something does, and the
// lease in its time. When storing fails it tries again, later and later.
func (e *Exporter) write(ctx context.Context) {
	again := retry.Policy{Base: 200 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}
	lease := time.NewTicker(e.leaseEvery())
	defer lease.Stop()
	failed := 0
	var retrying <-chan time.Time
	due := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-lease.C:
			lease.Reset(e.leaseEvery()) // a reload may have changed it
			due = true
		case <-e.wake:
		case <-retrying:
			retrying = nil
		}
		if retrying != nil {
			continue // what is new waits behind what failed
		}
		if err := e.flush(ctx, due); err != nil && ctx.Err() == nil {
			failed++
			retrying = time.After(again.Delay(failed, 0.5))
			continue
		}
		failed, due = 0, false
	}
}

func (e *Exporter) leaseEvery() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cfg.Probe.Lease
}

// drain stores what is left when we stop, and until when we looked.
func (e *Exporter) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	if err := e.flush(ctx, true); err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.log.Error("verdicts were not stored before the end", "pending", len(e.pending.list), "err", err)
	}
}

// flush stores all that waits, in order, and after it the lease if it is due.
// It stops at the first failure.
func (e *Exporter) flush(ctx context.Context, lease bool) error {
	for {
		changes, b, last := e.gather(lease)
		if len(changes) == 0 && b.lease == nil {
			return nil
		}
		err := e.record.save(ctx, b)
		e.settle(changes, b, err)
		if err != nil || last {
			return err
		}
	}
}

// gather makes the next commit. The watermark of a lease is taken together
// with everything that was judged before it: a lease that was stored without
// them would claim that we looked and saw nothing.
func (e *Exporter) gather(lease bool) (changes []*change, b batch, last bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var now time.Time
	if lease {
		now = e.look() // may add changes
	}
	changes, last = e.pending.next()
	for _, c := range changes {
		b.rows = append(b.rows, c.row)
		if !c.signal {
			continue
		}
		m, err := c.message(e.o.Source)
		if err != nil { // a mistake of ours; it must not hold up the others
			e.log.Error("signal cannot be made", "target", c.row.name, "err", err)
			e.metrics.lost.Inc()
			continue
		}
		b.messages = append(b.messages, m)
	}
	if lease && last {
		e.addLease(&b, now)
	}
	return changes, b, last
}

func (e *Exporter) addLease(b *batch, now time.Time) {
	e.leaseSeq++
	l := signal.Lease{Source: e.o.Source, Session: e.session, Seq: e.leaseSeq, Watermark: now, Every: e.cfg.Probe.Lease}
	m, err := leaseMessage(l)
	if err != nil {
		e.log.Error("lease cannot be made", "err", err)
		return
	}
	b.lease = &l
	b.messages = append(b.messages, m)
}

// settle publishes what was stored, or keeps what was not.
func (e *Exporter) settle(changes []*change, b batch, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.pending.saving = 0
		e.metrics.writeFailures.Inc()
		if e.failing == nil { // said once, not at each attempt
			e.log.Error("verdicts cannot be stored, they are kept in memory until they can", "err", err)
		}
		e.failing = err
		return
	}
	if e.failing != nil {
		e.log.Info("verdicts are stored again", "pending", len(e.pending.list))
		e.failing = nil
	}
	for _, c := range changes {
		c.target.published = published{c.row.state, c.row.since}
	}
	e.pending.stored()
	if b.lease != nil {
		e.leased = e.clock.Mono()
	}
}

func leaseMessage(l signal.Lease) (queue.Message, error) {
	body, err := json.Marshal(l)
	return queue.Message{
		Topic: signal.TopicLeases, Key: fmt.Sprintf("%s/%s/%d", l.Source, l.Session, l.Seq), Body: body,
	}, err
}
