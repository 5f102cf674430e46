package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
	"github.com/colliehq/collie/webhook/sender"
)

// The verbs of our signals of kind action.
const (
	verbHandled = "delivery.handled"
	verbParked  = "delivery.parked"
)

// handling is a delivery in the mapper's hand.
type handling struct {
	queue.Delivery
	meaning sender.Meaning
	parked  error // why a person has to look at it
	outcome string
}

// understand reads a delivery without touching anything.
func (w *Webhook) understand(d queue.Delivery) *handling {
	out := &handling{Delivery: d, outcome: outcomeNothing}
	in, hold, err := w.delivery(d)
	switch {
	case err != nil:
		out.outcome, out.parked = outcomeParked, cause(err)
		return out
	case hold:
		out.outcome, out.parked = outcomeHeld, errors.New("held: hook "+in.Hook+" says hold: true; take that out, reload, and redrive")
		return out
	}
	known, _ := sender.Named(d.Headers[headerSender]) // delivery looked for it
	if out.meaning, err = read(known, in); err != nil {
		out.outcome, out.parked = outcomeParked, cause(err)
		return out
	}
	if out.meaning.Alerts != nil || len(out.meaning.Signals) > 0 {
		out.outcome = outcomeSignals
	}
	return out
}

// cause is an error as a person reads it: what a sender wrote into it is bounded.
func cause(err error) error {
	const limit = 1000
	if text := strings.ToValidUTF8(err.Error(), "\uFFFD"); len(text) > limit {
		return errors.New(strings.ToValidUTF8(text[:limit], "") + "...")
	}
	return err
}

// read keeps one delivery from ending everything, whatever is in it.
func read(s sender.Sender, d sender.Delivery) (m sender.Meaning, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a mistake in Collie, please report it with this delivery: %v", p)
		}
	}()
	return s.Read(d)
}

// delivery is what was stored. A hook that is gone from the configuration still
// means what its sender means.
func (w *Webhook) delivery(d queue.Delivery) (in sender.Delivery, hold bool, err error) {
	if _, known := sender.Named(d.Headers[headerSender]); !known {
		return in, false, fmt.Errorf("the sender %q is not known to this version of Collie", d.Headers[headerSender])
	}
	name := d.Headers[headerHook]
	received, err := time.Parse(time.RFC3339Nano, d.Headers[headerReceived])
	if err != nil {
		received = d.FirstSeen
	}
	in = sender.Delivery{ID: d.Key, Hook: name, Received: received, Header: http.Header{}, Body: d.Body, Settings: sender.Settings{Receiver: name}}
	for key, value := range d.Headers {
		in.Header[key] = []string{value} // ours are in small letters, and out of reach of Get
	}
	if h := w.hook(name); h != nil {
		in.Settings, hold = h.settings, h.Hold
	}
	return in, hold, nil
}

// writeAll enqueues what a batch of deliveries means.
func (w *Webhook) writeAll(tx *store.Tx, all []*handling) error {
	last := map[string]int64{}
	for _, h := range all {
		if h.parked == nil {
			first, err := tx.Once(Subscription, h.Key)
			if err != nil {
				return err
			}
			if !first {
				continue
			}
		}
		if err := w.write(tx, h); err != nil {
			return fmt.Errorf("handle delivery %s: %w", h.Key, err)
		}
		hook := h.Headers[headerHook]
		last[hook] = max(last[hook], h.FirstSeen.UnixNano())
	}
	for hook, at := range last {
		if _, err := tx.Exec(`UPDATE webhook_hooks SET last = max(last, ?) WHERE name = ?`, at, hook); err != nil {
			return fmt.Errorf("remember when hook %s was posted to: %w", hook, err)
		}
	}
	return nil
}

// write enqueues the signals of one delivery, and one that says what was done.
func (w *Webhook) write(tx *store.Tx, h *handling) error {
	now := w.now()
	signals, err := w.signals(tx, h, now)
	if err != nil {
		return err
	}
	done, err := w.action(h, signals, now)
	if err != nil {
		return err
	}
	msgs := make([]queue.Message, 0, len(signals)+1)
	for _, s := range append(signals, done) {
		m, err := notification.Message(s)
		if err != nil {
			return err
		}
		msgs = append(msgs, m)
	}
	return tx.Enqueue(msgs...)
}

// signals of a delivery. What cannot be a signal is told in the log: nothing
// that comes later would make it one.
func (w *Webhook) signals(tx *store.Tx, h *handling, now time.Time) (all []signal.Signal, err error) {
	add := func(s signal.Signal, err error) {
		if err != nil {
			w.log.Error("a part of a delivery cannot be told", "delivery", h.Key, "err", err)
			return
		}
		all = append(all, s)
	}
	for i, s := range h.meaning.Signals {
		s.ID, s.Source, s.Observed = fmt.Sprintf("%s/%s/%d", w.source, h.Key, i), w.source, now
		s.Annotations[notification.DeliveryAnnotation] = sender.Subject(h.Key)
		add(signal.New(s))
	}
	if h.meaning.Alerts == nil || len(h.meaning.Alerts.Alerts) == 0 {
		return all, nil
	}
	told := *h.meaning.Alerts
	told.Delivery = sender.Subject(h.Key)
	if told, err = w.memory.News(tx, told); err != nil || len(told.Alerts) == 0 {
		return all, err
	}
	seq, err := w.memory.Number(tx, len(told.Alerts))
	if err != nil {
		return nil, err
	}
	for i, a := range told.Alerts {
		add(told.Signal(a, w.source, seq+uint64(i), now))
	}
	return all, nil
}

// maxEffects bounds how many signals an action names.
const maxEffects = 100

// action tells the record of a delivery: what it was and what became of it.
func (w *Webhook) action(h *handling, signals []signal.Signal, now time.Time) (signal.Signal, error) {
	a := signal.Action{Verb: verbHandled, Text: h.meaning.Text}
	if h.parked != nil {
		a.Verb, a.Text = verbParked, h.parked.Error()
	}
	for _, s := range signals[:min(len(signals), maxEffects)] {
		a.Effects = append(a.Effects, signal.Effect{ID: s.ID, Subject: s.Subject})
	}
	body, err := json.Marshal(a)
	if err != nil {
		return signal.Signal{}, fmt.Errorf("encode an action: %w", err)
	}
	hook, from := h.Headers[headerHook], h.Headers[headerSender]
	id := fmt.Sprintf("%s/%s/%s", w.source, h.Key, a.Verb)
	if h.parked != nil {
		id += "/" + strconv.FormatInt(now.UnixNano(), 36) // each time is another one
	}
	return signal.New(signal.Signal{
		ID: id, Kind: signal.KindAction, Source: w.source, Subject: sender.Subject(h.Key), Observed: now, Body: body,
		Labels: map[string]string{"hook": hook, "sender": from},
		Annotations: map[string]string{
			"received": h.Headers[headerReceived], "stored": h.FirstSeen.UTC().Format(time.RFC3339Nano), "handled": now.UTC().Format(time.RFC3339Nano),
			"attempt": strconv.Itoa(h.Attempt), "hook": hook, "sender": from, "key": h.Headers[headerKey], "bytes": strconv.Itoa(len(h.Body)),
		},
	})
}
