// Package notification is what an Alertmanager tells a receiver, and the signals
// that it becomes: the same for the embedded Alertmanager, for webhooks of
// outside ones and for senders that speak of alerts in other words.
package notification

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Notification is what one receiver is told about one group: the webhook format
// of Alertmanager, version 4. Unknown fields are ignored, since each version of
// Alertmanager adds some.
type Notification struct {
	Version     string            `json:"version"`
	GroupKey    string            `json:"groupKey"`
	Receiver    string            `json:"receiver"`
	GroupLabels map[string]string `json:"groupLabels"`
	ExternalURL string            `json:"externalURL"`
	Reason      string            `json:"notification_reason"` // absent before Alertmanager 0.30
	Alerts      []Alert           `json:"alerts"`

	// Delivery is the subject of the webhook that said it, as an annotation of
	// the signals; empty for what was decided here.
	Delivery string `json:"-"`
	// KeepStart is for senders whose every telling has another time, and who tell
	// of the end of what they never told: an alert that still fires started when
	// it was told first, and only what fired is resolved.
	KeepStart bool `json:"-"`
}

// Alert of a notification.
type Alert struct {
	Status       string            `json:"status"` // firing or resolved
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"` // absent before Alertmanager 0.20

	// Repeat says that the receiver was told the same before.
	Repeat bool `json:"-"`
	// Nonce tells this telling from an earlier one that said the same.
	Nonce int64 `json:"-"`
}

// MaxAlerts is how many alerts one webhook may carry.
const MaxAlerts = 10_000

// Decode reads a webhook of an Alertmanager. What it accepts can be told: it
// says which field is wrong otherwise.
func Decode(body []byte) (Notification, error) {
	var n Notification
	if err := json.Unmarshal(body, &n); err != nil {
		return Notification{}, fmt.Errorf("webhook of an Alertmanager: %w", err)
	}
	if n.Version != "4" {
		return Notification{}, fmt.Errorf("webhook of an Alertmanager: version %q is not 4; is the sender an Alertmanager since 0.5?", n.Version)
	}
	if err := n.Check(); err != nil {
		return Notification{}, fmt.Errorf("webhook of an Alertmanager: %w", err)
	}
	return n, nil
}

// Check says what keeps n from being told, and fills in fingerprints that are
// not given.
func (n *Notification) Check() error {
	switch {
	case n.Receiver == "":
		return errors.New("receiver is empty")
	case len(n.Alerts) > MaxAlerts:
		return fmt.Errorf("%d alerts, more than %d; set max_alerts", len(n.Alerts), MaxAlerts)
	}
	for i := range n.Alerts {
		if err := n.Alerts[i].check(); err != nil {
			return fmt.Errorf("alert %d: %w", i, err)
		}
	}
	return nil
}

func (a *Alert) check() error {
	if a.Status != string(model.AlertFiring) && a.Status != string(model.AlertResolved) {
		return fmt.Errorf("status %q is neither firing nor resolved", a.Status)
	}
	if len(a.Labels) == 0 {
		return fmt.Errorf("it has no labels")
	}
	if a.Fingerprint == "" {
		a.Fingerprint = Fingerprint(a.Labels)
	}
	return nil
}

// Fingerprint is Alertmanager's, of the labels of an alert.
func Fingerprint(labels map[string]string) string {
	set := model.LabelSet{}
	for name, value := range labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return set.Fingerprint().String()
}
