package ircbot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/words"
	"github.com/colliehq/collie/retry"
	"github.com/colliehq/collie/signal"
)

const (
	prefetch  = 64 // deliveries that are accepted in one commit
	leaseTime = time.Minute
	// keepAlive is how often deliveries in hand are extended while the disk is full.
	keepAlive = leaseTime / 3
)

// accept takes alerts from the queue into the spool until the channel closes:
// as many as wait in one commit, in their order.
func (b *Bot) accept(ctx context.Context, in <-chan queue.Delivery) error {
	// What comes while one batch is written is the next batch.
	waiting := make(chan queue.Delivery, prefetch)
	var g errgroup.Group
	g.Go(func() error {
		defer close(waiting)
		for d := range in {
			waiting <- d
		}
		return nil
	})
	for d := range waiting {
		batch := []queue.Delivery{d}
		for len(batch) < prefetch {
			d, more := poll(waiting)
			if !more {
				break
			}
			batch = append(batch, d)
		}
		b.batch(ctx, batch)
	}
	return g.Wait()
}

func poll(in <-chan queue.Delivery) (queue.Delivery, bool) {
	select {
	case d, ok := <-in:
		return d, ok
	default:
		return queue.Delivery{}, false
	}
}

// incoming is an alert with its delivery.
type incoming struct {
	queue.Delivery
	signal signal.Signal
	alert  signal.Alert
}

// batch accepts deliveries and settles them. What cannot be read is set aside.
func (b *Bot) batch(ctx context.Context, batch []queue.Delivery) {
	var good []incoming
	var settle errgroup.Group
	always := context.WithoutCancel(ctx)
	for _, d := range batch {
		in, ours, err := decode(d)
		switch {
		case err != nil:
			b.metrics.parked.Inc()
			b.log.Error("message parked", "key", d.Key, "err", err)
			settle.Go(func() error { return d.Park(always, err) })
		case ours:
			good = append(good, in)
		default:
			settle.Go(func() error { return d.Ack(always) })
		}
	}
	if b.write(ctx, good) {
		for _, in := range good {
			settle.Go(func() error { return in.Ack(always) })
		}
	}
	// A delivery that is not settled comes again, and is known then.
	if err := settle.Wait(); err != nil && !errors.Is(err, queue.ErrLost) {
		b.log.Warn("delivery not settled", "err", err)
	}
}

// write accepts alerts until it works or ctx ends: while the disk is full,
// giving them back would need room too.
func (b *Bot) write(ctx context.Context, good []incoming) bool {
	if len(good) == 0 {
		return true
	}
	wait, extended := 100*time.Millisecond, time.Now()
	for attempt := 1; ; attempt++ {
		err := b.store.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error { return b.acceptAll(tx, good) })
		if err == nil {
			return true
		}
		b.metrics.failures.Inc()
		if attempt == 1 {
			b.log.Warn("lines for IRC not written, trying again", "alerts", len(good), "err", err)
		}
		if !sleep(ctx, wait) {
			return false
		}
		wait = min(2*wait, 5*time.Second)
		if time.Since(extended) > keepAlive {
			extended = time.Now()
			for _, in := range good {
				_ = in.Extend(ctx, leaseTime) // lost: it comes again and is known then
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// decode reads an alert, and says if it is one for us.
func decode(d queue.Delivery) (in incoming, ours bool, err error) {
	var s signal.Signal
	if err := json.Unmarshal(d.Body, &s); err != nil {
		return in, false, retry.Stop(fmt.Errorf("not a signal: %w", err))
	}
	if s.Kind != signal.KindAlert || !s.Production() {
		return in, false, nil
	}
	alert, err := s.Alert()
	if err != nil {
		return in, false, retry.Stop(err)
	}
	return incoming{Delivery: d, signal: s, alert: alert}, true, nil
}

// acceptAll writes the lines of the alerts into the spool. It is the
// acceptance: once it is durable, the lines will be said.
func (b *Bot) acceptAll(tx *store.Tx, all []incoming) error {
	var accepted []*spool.Line
	for _, in := range all {
		first, err := tx.Once(Subscription, in.signal.ID)
		if err != nil {
			return err
		}
		if !first {
			continue
		}
		lines, err := b.acceptOne(tx, in)
		if err != nil {
			return err
		}
		accepted = append(accepted, lines...)
	}
	dropped, err := b.spool.Shed(tx, accepted)
	if err != nil {
		return err
	}
	tx.OnCommit(func() {
		for _, l := range accepted {
			b.metrics.lines.WithLabelValues(l.Network, "accepted").Inc()
		}
		for network, lines := range byNetwork(dropped) {
			b.dropped(network, lines, "the spool is full")
		}
	})
	return nil
}

func byNetwork(lines []spool.Line) map[string][]spool.Line {
	out := map[string][]spool.Line{}
	for _, l := range lines {
		out[l.Network] = append(out[l.Network], l)
	}
	return out
}

// acceptOne spools what the channels are to be told of one alert.
func (b *Bot) acceptOne(tx *store.Tx, in incoming) (accepted []*spool.Line, err error) {
	routed := false
	add := func(l *spool.Line, err error) error {
		if l != nil {
			accepted = append(accepted, l)
		}
		return err
	}
	for _, n := range b.configured() {
		if heartbeat(in) {
			routed = true
			if err := add(b.acceptHeartbeat(tx, n, in)); err != nil {
				return nil, err
			}
			continue
		}
		for _, channel := range n.told(in.alert.Receiver) {
			routed = true
			if err := add(b.acceptFor(tx, n.Name, channel, in)); err != nil {
				return nil, err
			}
		}
	}
	if !routed {
		tx.OnCommit(b.metrics.unrouted.Inc)
	}
	return accepted, nil
}

func heartbeat(in incoming) bool {
	return in.alert.Receiver == heartbeatReceiver || in.signal.Labels["alertname"] == heartbeatAlert
}

// acceptHeartbeat spools the dead man's switch. A newer one makes those that
// wait pointless.
func (b *Bot) acceptHeartbeat(tx *store.Tx, n Network, in incoming) (*spool.Line, error) {
	if in.signal.Status != signal.Firing {
		return nil, nil
	}
	l := &spool.Line{
		Network: n.Name, Channel: heartbeatPlace(n), Lane: spool.Reply, SignalID: in.signal.ID, Seen: in.FirstSeen,
		About: words.About{Kind: words.Heartbeat, Started: in.FirstSeen},
	}
	old := b.spool.Find(n.Name, func(o *spool.Line) bool { return o.About.Kind == words.Heartbeat && o.State == spool.Queued })
	if err := b.spool.Accept(tx, l); err != nil {
		return nil, err
	}
	return l, b.spool.Supersede(tx, old, l)
}

// toSelf is the channel of lines that go to our own nick, whatever it is then.
const toSelf = ""

func heartbeatPlace(n Network) string {
	if n.HeartbeatChannel != "" {
		return n.HeartbeatChannel
	}
	return toSelf
}

// acceptFor spools what a channel is to be told of an alert, if it is news.
func (b *Bot) acceptFor(tx *store.Tx, network, channel string, in incoming) (*spool.Line, error) {
	s := in.signal
	told, err := b.spool.Told(tx, network, channel, s.Subject)
	if err != nil {
		return nil, err
	}
	kind, next, verdict := judge(told, in, tx.Now())
	switch verdict {
	case stale:
		tx.OnCommit(b.metrics.stale.Inc)
		return nil, nil
	case unchanged:
		tx.OnCommit(b.metrics.unchanged.Inc)
		return nil, nil
	case news:
	}
	if err := b.spool.Tell(tx, network, channel, s.Subject, next); err != nil {
		return nil, err
	}
	l := b.line(network, channel, kind, in)
	if err := b.spool.Accept(tx, l); err != nil {
		return nil, err
	}
	return l, b.spool.Supersede(tx, b.superseded(network, channel, l), l)
}

// superseded are repetitions that wait while there is something newer to say.
func (b *Bot) superseded(network, channel string, by *spool.Line) []spool.Line {
	return b.spool.Find(network, func(o *spool.Line) bool {
		return o.Channel == channel && o.Subject == by.Subject && o.About.Kind == words.Repeat && o.Waits()
	})
}

type verdict int

const (
	news verdict = iota
	unchanged
	stale
)

// repeated is Alertmanager's reason of a notification that says everything
// again on purpose. Without a reason, the sender decided it.
const repeated = "repeat interval elapsed"

// judge says what an alert means to a channel that was told something before.
func judge(told spool.Told, in incoming, now time.Time) (words.Kind, spool.Told, verdict) {
	s := in.signal
	if s.Seq > 0 && told.Source == s.Source && s.Seq <= told.Seq {
		return "", told, stale
	}
	next := spool.Told{Status: s.Status, Started: s.Started, Source: s.Source, Seq: s.Seq, Episode: told.Episode, At: now}
	again := s.Status == told.Status && (in.alert.Repeat || !s.Started.After(told.At))
	switch {
	case s.Status == signal.Resolved && again:
		return "", told, unchanged
	case s.Status == signal.Resolved:
		return words.Resolved, next, news
	case !again:
		next.Episode++
		return words.Firing, next, news
	case in.alert.Repeat && (in.alert.Why == "" || in.alert.Why == repeated):
		return words.Repeat, next, news
	}
	return "", told, unchanged
}

// line is what the alert says in a channel.
func (b *Bot) line(network, channel string, kind words.Kind, in incoming) *spool.Line {
	s := in.signal
	about := words.About{
		Kind: kind, Severity: s.Labels["severity"], Name: s.Labels["alertname"], Target: first(s.Labels["target"], s.Labels["instance"]),
		Summary: first(s.Annotations["summary"], s.Annotations["description"], s.Annotations["message"]),
		Started: s.Started, Ended: s.Ended, More: first(b.more, in.alert.ExternalURL),
	}
	if kind != words.Resolved {
		about.Link = first(s.Annotations["runbook_url"], s.Annotations["dashboard_url"], s.Annotations["link"], about.More)
	}
	return &spool.Line{
		Network: network, Channel: channel, Lane: lane(kind, about.Severity), Subject: s.Subject, Target: s.Labels["target"],
		SignalID: s.ID, About: about, Seen: in.FirstSeen,
	}
}

// lane of a line: what is resolved goes where it fired, or it could overtake
// the next time it fires.
func lane(kind words.Kind, severity string) spool.Lane {
	switch {
	case kind == words.Repeat:
		return spool.Repeat
	case severity == "critical":
		return spool.Critical
	}
	return spool.Info
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
