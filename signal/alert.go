package signal

import (
	"encoding/json"
	"fmt"
)

// Alert is the body of a signal of kind alert: one alert of one notification,
// as Alertmanager decided that a receiver is to be told. Its labels and
// annotations are those of the signal, its times Started and Ended.
type Alert struct {
	Receiver     string            `json:"receiver"`                // of the notification
	GroupKey     string            `json:"group_key"`               // Alertmanager's, stable per group and route
	GroupLabels  map[string]string `json:"group_labels,omitempty"`  //
	Fingerprint  string            `json:"fingerprint"`             // Alertmanager's, 16 hexadecimal digits
	GeneratorURL string            `json:"generator_url,omitempty"` // the expression in Prometheus
	ExternalURL  string            `json:"external_url,omitempty"`  // Alertmanager's
	Why          string            `json:"why,omitempty"`           // Alertmanager's notification reason: "first notification", "repeat interval elapsed", ...
	Repeat       bool              `json:"repeat,omitempty"`        // told before, and said again
}

// AlertSubject is the subject of all signals about an alert: its name and
// Alertmanager's fingerprint of its labels.
func AlertSubject(name, fingerprint string) string {
	return string(KindAlert) + "/" + name + "/" + fingerprint
}

// Alert decodes the body of a signal of kind alert.
func (s Signal) Alert() (Alert, error) {
	if s.Kind != KindAlert {
		return Alert{}, fmt.Errorf("%w: a signal of kind %s has no alert", ErrInvalid, s.Kind)
	}
	var a Alert
	if err := json.Unmarshal(s.Body, &a); err != nil {
		return Alert{}, fmt.Errorf("%w: body of an alert signal: %w", ErrInvalid, err)
	}
	if s.Status == None {
		return Alert{}, fmt.Errorf("%w: an alert is firing or resolved", ErrInvalid)
	}
	return a, nil
}

// Action is the body of a signal of kind action: what Collie decided or did
// about the subject. Every room that acts or tells writes one.
type Action struct {
	Verb   string   `json:"verb"`             // from a closed list of the room: "line.confirmed", "job.held"
	Text   string   `json:"text"`             // one sentence for people
	Causes []string `json:"causes,omitempty"` // ids of the signals that led to it
	// Effects are signals that it led to, where the one who acted knows them.
	Effects []Effect `json:"effects,omitempty"`
}

// Effect is a signal that an action led to.
type Effect struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
}

// Action decodes the body of a signal of kind action.
func (s Signal) Action() (Action, error) {
	if s.Kind != KindAction {
		return Action{}, fmt.Errorf("%w: a signal of kind %s has no action", ErrInvalid, s.Kind)
	}
	var a Action
	if err := json.Unmarshal(s.Body, &a); err != nil {
		return Action{}, fmt.Errorf("%w: body of an action signal: %w", ErrInvalid, err)
	}
	return a, nil
}
