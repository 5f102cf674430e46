package notification

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/signal"
)

// maxWord bounds each text of a signal's body.
const maxWord = 8 << 10

// body of the signal of one alert, with texts shortened until it fits.
func (n Notification) body(a Alert, word int) ([]byte, error) {
	body, err := json.Marshal(signal.Alert{
		Receiver: cut(n.Receiver, word), GroupKey: cut(n.GroupKey, word), GroupLabels: cutPairs(n.GroupLabels, word/8), Fingerprint: cut(a.Fingerprint, word),
		GeneratorURL: cut(a.GeneratorURL, word), ExternalURL: cut(n.ExternalURL, word), Why: cut(n.Reason, word), Repeat: a.Repeat,
	})
	if err != nil {
		return nil, fmt.Errorf("write alert: %w", err)
	}
	if len(body) > signal.MaxBody && word > 0 {
		return n.body(a, word/2)
	}
	return body, nil
}

// DeliveryAnnotation names the delivery that a signal came with.
const DeliveryAnnotation = "delivery"

// Signal makes the signal of one alert. Whatever an alert carries is cut to
// what a signal may be, rather than not told.
func (n Notification) Signal(a Alert, source string, seq uint64, now time.Time) (signal.Signal, error) {
	body, err := n.body(a, maxWord)
	if err != nil {
		return signal.Signal{}, err
	}
	return signal.New(signal.Signal{
		ID: n.id(a, source), Kind: signal.KindAlert, Source: source, Seq: seq,
		Subject: signal.AlertSubject(subjectName(a.Labels[model.AlertNameLabel]), subjectName(a.Fingerprint)), Status: signal.Status(a.Status),
		Observed: now, Started: year(a.StartsAt), Ended: ended(a),
		Labels: cutLabels(a.Labels), Annotations: n.annotations(a), Body: body,
	})
}

// Message is the signal as the queue takes it.
func Message(s signal.Signal) (queue.Message, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return queue.Message{}, fmt.Errorf("write signal: %w", err)
	}
	return queue.Message{Topic: signal.TopicSignals, Key: s.ID, Body: text}, nil
}

// annotations of the signal of one alert.
func (n Notification) annotations(a Alert) map[string]string {
	all := a.Annotations
	if n.Delivery != "" {
		all = maps.Clone(all)
		if all == nil {
			all = map[string]string{}
		}
		delete(all, DeliveryAnnotation)
	}
	kept := cutPairs(all, signal.MaxAnnotation)
	if n.Delivery == "" {
		return kept
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(kept))) {
		if len(kept) < signal.MaxLabels {
			break
		}
		delete(kept, name)
	}
	kept[DeliveryAnnotation] = n.Delivery
	return kept
}

// id is the same for the same telling, however often it is tried, and another
// one when the same is said again.
func (n Notification) id(a Alert, source string) string {
	h := sha256.New()
	for _, part := range []string{n.Receiver, n.GroupKey, a.Fingerprint, a.Status} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	fmt.Fprintf(h, "%d:%d", a.StartsAt.UnixNano(), a.Nonce)
	return cut(source, 128) + "/" + hex.EncodeToString(h.Sum(nil)[:16])
}

// year keeps times that can be written; others are as good as unknown.
func year(t time.Time) time.Time {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t
}

func ended(a Alert) time.Time {
	end := year(a.EndsAt)
	if a.Status != string(signal.Resolved) || end.Before(a.StartsAt) {
		return time.Time{}
	}
	return end
}

// subjectName makes a name fit into a subject.
func subjectName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if name == "" {
		name = "unnamed"
	}
	return cut(name, 200)
}

// important labels are kept when there are too many.
var important = []string{model.AlertNameLabel, "severity", "target", "instance", "job", "tier", "team"}

func cutLabels(labels map[string]string) map[string]string {
	if len(labels) <= signal.MaxLabels {
		return cutPairs(labels, signal.MaxLabelValue)
	}
	kept := map[string]string{}
	for _, name := range append(slices.Clone(important), slices.Sorted(maps.Keys(labels))...) {
		if v, ok := labels[name]; ok && len(kept) < signal.MaxLabels {
			kept[name] = v
		}
	}
	return cutPairs(kept, signal.MaxLabelValue)
}

func cutPairs(pairs map[string]string, limit int) map[string]string {
	kept := make(map[string]string, len(pairs))
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if len(kept) == signal.MaxLabels || name == "" {
			continue
		}
		key := cut(subjectName(name), signal.MaxLabelName)
		kept[key] = cut(strings.ToValidUTF8(pairs[name], "\uFFFD"), limit)
	}
	return kept
}

// cut shortens text to at most limit bytes, at a rune.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
