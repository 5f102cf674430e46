package sender

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/webhook/proof"
)

// Alertmanager posts its webhook, version 4
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config). It
// signs nothing, so that its http_config has to say a password or a token. It
// tries again after 5xx, and not after 4xx.
func Alertmanager() Sender {
	return Sender{
		Name: "alertmanager", MaxBody: 16 << 20, Prove: func(s Settings) (proof.Proof, error) { return s.proofs(), nil },
		Key: keyOfGroup, Read: readAlertmanager,
	}
}

// keyOfGroup is made of the group and of what is told about its alerts, since
// Alertmanager and Grafana number nothing. What they tell again on purpose has
// the same.
func keyOfGroup(_ Settings, _ http.Header, body []byte) Key {
	var n struct {
		Receiver string `json:"receiver"`
		GroupKey string `json:"groupKey"`
		Status   string `json:"status"`
		Alerts   []struct {
			Status      string          `json:"status"`
			StartsAt    json.RawMessage `json:"startsAt"`
			Fingerprint string          `json:"fingerprint"`
			Labels      json.RawMessage `json:"labels"`
		} `json:"alerts"`
	}
	if err := json.Unmarshal(body, &n); err != nil || n.GroupKey == "" {
		return Key{Text: hash(body), Repeats: true}
	}
	parts := [][]byte{[]byte(n.Receiver), []byte(n.GroupKey), []byte(n.Status)}
	for _, a := range n.Alerts {
		parts = append(parts, []byte(a.Fingerprint), a.Labels, a.StartsAt, []byte(a.Status))
	}
	return Key{Text: hash(parts...), Repeats: true}
}

func readAlertmanager(d Delivery) (Meaning, error) {
	n, err := notification.Decode(d.Body)
	if err != nil {
		return Meaning{}, err
	}
	return Meaning{Text: fmt.Sprintf("Alertmanager told %s of %s", word(n.Receiver), count(len(n.Alerts), "alert")), Alerts: &n}, nil
}

// Grafana posts the webhook contact point of Grafana Alerting, which can sign
// since Grafana 12
// (https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/).
func Grafana() Sender {
	return Sender{
		Name: "grafana", MaxBody: 16 << 20, Uses: []string{"secret_files", "header", "timestamp_header", "window"},
		Prove: proveGrafana, Key: keyOfGroup, Read: readGrafana,
	}
}

// proveGrafana: the hexadecimal HMAC-SHA256 of the body, or where a timestamp
// header is configured of time, colon and body.
func proveGrafana(s Settings) (proof.Proof, error) {
	all := s.proofs()
	if len(s.Secrets) > 0 {
		all = append(all, proof.HMAC{
			Keys: s.Secrets, Header: first(s.Header, "X-Grafana-Alerting-Signature"),
			TimestampHeader: s.TimestampHeader, Separator: ":", Window: s.Window,
		})
	}
	return all, nil
}

// grafanaAlert has what Grafana adds to an alert of Alertmanager.
type grafanaAlert struct {
	notification.Alert
	Dashboard string `json:"dashboardURL"`
	Panel     string `json:"panelURL"`
	Silence   string `json:"silenceURL"`
	Values    string `json:"valueString"`
}

// readGrafana: Grafana speaks of alerts as Alertmanager does, with a version of
// its own.
func readGrafana(d Delivery) (Meaning, error) {
	var in struct {
		notification.Notification
		Alerts []grafanaAlert `json:"alerts"`
	}
	if err := json.NewDecoder(bytes.NewReader(d.Body)).Decode(&in); err != nil {
		return Meaning{}, fmt.Errorf("webhook of Grafana: %w", err)
	}
	n := in.Notification
	n.Receiver = first(n.Receiver, d.Receiver)
	for _, a := range in.Alerts {
		n.Alerts = append(n.Alerts, a.plain())
	}
	if err := n.Check(); err != nil {
		return Meaning{}, fmt.Errorf("webhook of Grafana: %w", err)
	}
	return Meaning{Text: fmt.Sprintf("Grafana told %s of %s", word(n.Receiver), count(len(n.Alerts), "alert")), Alerts: &n}, nil
}

// plain is the alert with its links where those of Alertmanager have them.
func (a grafanaAlert) plain() notification.Alert {
	out := a.Alert
	notes := map[string]string{}
	maps.Copy(notes, out.Annotations)
	for name, value := range map[string]string{"dashboard_url": first(a.Panel, a.Dashboard), "silence_url": a.Silence, "values": a.Values} {
		if _, given := notes[name]; !given && value != "" {
			notes[name] = value
		}
	}
	out.Annotations = notes
	if out.EndsAt.Before(out.StartsAt) {
		out.EndsAt = time.Time{}
	}
	return out
}
