package ircbot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/words"
	"github.com/colliehq/collie/signal"
)

// The verbs of our signals of kind action.
const (
	verbConfirmed   = "line.confirmed"
	verbUnconfirmed = "line.unconfirmed"
	verbFolded      = "line.folded"
	verbMissed      = "line.missed"
)

// confirmed writes down that a line arrived, and tells the record what became
// of the alerts that it says.
func (b *Bot) confirmed(ctx context.Context, l spool.Line, method string) error {
	now := b.now()
	said, err := b.said(ctx, l)
	if err != nil {
		return err
	}
	msgs := make([]queue.Message, 0, len(said))
	for _, one := range said {
		m, err := b.action(one.line, one.verb, fmt.Sprintf("%s, confirmed by %s", one.text, how(method)), one.causes, now)
		if err != nil {
			return err
		}
		msgs = append(msgs, m)
	}
	err = b.spool.Confirm(ctx, l, method, func(tx *store.Tx) error { return tx.Enqueue(msgs...) })
	if errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrNoSubscription) {
		// Whether the record hears of it must not decide whether it is said again.
		b.metrics.untoldSteps.Add(float64(len(msgs)))
		err = b.spool.Confirm(ctx, l, method, func(*store.Tx) error { return nil })
	}
	if err != nil {
		return err
	}
	b.count(l, said, method, now)
	return nil
}

func (b *Bot) count(l spool.Line, said []told, method string, now time.Time) {
	b.metrics.lines.WithLabelValues(l.Network, "confirmed").Inc()
	b.metrics.confirms.WithLabelValues(l.Network, method).Inc()
	b.metrics.delivery.WithLabelValues(l.Network).Observe(max(0, now.Sub(l.Seen).Seconds()))
	for _, one := range said {
		switch one.verb {
		case verbFolded:
			b.metrics.lines.WithLabelValues(l.Network, "folded").Inc()
		case verbMissed:
			b.metrics.lines.WithLabelValues(l.Network, "missed").Inc()
		}
	}
	if l.About.Kind == words.Heartbeat {
		b.metrics.heartbeats.beat(l.Network, now)
	}
}

func how(method string) string {
	switch method {
	case byLabel:
		return "a labelled echo"
	case byEcho:
		return "an echo"
	}
	return "the answer to a PING after it"
}

// told is what one line means for one alert.
type told struct {
	line   spool.Line
	verb   string
	text   string
	causes []string
}

// said is what a line means for each of the alerts that it says.
func (b *Bot) said(ctx context.Context, l spool.Line) ([]told, error) {
	if l.Subject != "" {
		return []told{{line: l, verb: verbConfirmed, text: fmt.Sprintf("said in %s on %s", l.Channel, l.Network), causes: []string{l.SignalID}}}, nil
	}
	if l.About.Kind == words.Heartbeat || l.About.Kind == words.Dropped {
		return nil, nil
	}
	members, err := b.spool.Members(ctx, l.ID)
	if err != nil {
		return nil, fmt.Errorf("find what line %d says: %w", l.ID, err)
	}
	index := map[string]int{}
	var all []told
	for _, m := range members {
		if i, known := index[m.Subject]; known {
			all[i].causes = append(all[i].causes, m.SignalID)
			continue
		}
		index[m.Subject] = len(all)
		all = append(all, told{line: m, verb: verbFolded, causes: []string{m.SignalID}, text: fmt.Sprintf("said in %s on %s as one of %d", l.Channel, l.Network, l.About.Alerts())})
		if l.About.Kind == words.Missed {
			last := &all[len(all)-1]
			last.verb, last.text = verbMissed, fmt.Sprintf("told as missed in %s on %s", l.Channel, l.Network)
		}
	}
	return all, nil
}

// unconfirmed queues lines again, and tells the record of each the first time.
func (b *Bot) unconfirmed(ctx context.Context, lines []spool.Line) error {
	var msgs []queue.Message
	for _, l := range lines {
		if l.Subject == "" || l.Tries > 1 {
			continue
		}
		m, err := b.action(l, verbUnconfirmed, fmt.Sprintf("may have been said in %s on %s: the server did not confirm it, it is said again", l.Channel, l.Network), []string{l.SignalID}, b.now())
		if err != nil {
			return err
		}
		msgs = append(msgs, m)
	}
	err := b.spool.Requeue(ctx, lines, func(tx *store.Tx) error { return tx.Enqueue(msgs...) })
	if errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrNoSubscription) {
		b.metrics.untoldSteps.Add(float64(len(msgs)))
		err = b.spool.Requeue(ctx, lines, func(*store.Tx) error { return nil })
	}
	if err != nil {
		return err
	}
	for _, l := range lines {
		b.metrics.lines.WithLabelValues(l.Network, "unconfirmed").Inc()
	}
	return nil
}

// action is what the record is told of a line.
func (b *Bot) action(l spool.Line, verb, text string, causes []string, now time.Time) (queue.Message, error) {
	body, err := json.Marshal(signal.Action{Verb: verb, Text: text, Causes: causes})
	if err != nil {
		return queue.Message{}, fmt.Errorf("encode an action: %w", err)
	}
	labels := map[string]string{"alertname": l.About.Name, "network": l.Network}
	if l.Target != "" {
		labels["target"] = l.Target
	}
	s, err := signal.New(signal.Signal{
		ID: fmt.Sprintf("%s/%d/%d/%s", b.source, l.Accepted.UnixMilli(), l.ID, verb), Kind: signal.KindAction, Source: b.source, Subject: l.Subject,
		Observed: now, Labels: labels, Body: body,
	})
	if err != nil {
		return queue.Message{}, err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return queue.Message{}, fmt.Errorf("encode an action: %w", err)
	}
	return queue.Message{Topic: signal.TopicSignals, Key: s.ID, Body: raw}, nil
}
