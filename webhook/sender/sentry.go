package sender

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/webhook/proof"
)

// Sentry posts the webhooks of an internal or public integration
// (https://docs.sentry.io/integrations/integration-platform/webhooks/). Its
// signature covers the body only; the time beside it is not signed.
func Sentry() Sender {
	return Sender{
		Name: "sentry", Uses: []string{"secret_files"},
		Keep: []string{"Sentry-Hook-Resource", "Sentry-Hook-Timestamp", "Request-ID"},
		Prove: func(s Settings) (proof.Proof, error) {
			all := s.proofs()
			if len(s.Secrets) > 0 {
				all = append(all, proof.HMAC{Keys: s.Secrets, Header: "Sentry-Hook-Signature"})
			}
			return all, nil
		},
		Key: func(_ Settings, h http.Header, body []byte) Key {
			return byHeader(h, "Request-ID", []byte(h.Get("Sentry-Hook-Resource")), body)
		},
		Read: readSentry,
	}
}

// The names of Sentry's alerts. An issue has one name, whichever rule or change
// told of it, so that its resolution finds what fired.
const (
	sentryIssue  = "SentryIssue"
	sentryMetric = "SentryMetricAlert"
)

type sentryEvent struct {
	Action string `json:"action"`
	Data   struct {
		Event  sentryOccurrence `json:"event"`
		Rule   string           `json:"triggered_rule"`
		Issue  sentryItem       `json:"issue"`
		Metric sentryIncident   `json:"metric_alert"`
		Title  string           `json:"description_title"`
		Text   string           `json:"description_text"`
		URL    string           `json:"web_url"`
	} `json:"data"`
}

// sentryOccurrence is the event that made a rule of issues fire.
type sentryOccurrence struct {
	Title    string     `json:"title"`
	Culprit  string     `json:"culprit"`
	Level    string     `json:"level"`
	Platform string     `json:"platform"`
	IssueID  flexible   `json:"issue_id"`
	URL      string     `json:"web_url"`
	IssueURL string     `json:"issue_url"`
	APIURL   string     `json:"url"`
	When     looseTime  `json:"datetime"`
	Env      string     `json:"environment"`
	Tags     [][]string `json:"tags"`
}

// sentryItem is an issue that changed.
type sentryItem struct {
	ID        flexible  `json:"id"`
	ShortID   string    `json:"shortId"`
	Title     string    `json:"title"`
	Culprit   string    `json:"culprit"`
	Level     string    `json:"level"`
	URL       string    `json:"web_url"`
	FirstSeen looseTime `json:"firstSeen"`
	Project   struct {
		Slug string `json:"slug"`
	} `json:"project"`
}

// sentryIncident is a metric alert.
type sentryIncident struct {
	ID       flexible  `json:"id"`
	Started  looseTime `json:"date_started"`
	Closed   looseTime `json:"date_closed"`
	Projects []string  `json:"projects"`
	Rule     struct {
		Name string `json:"name"`
	} `json:"alert_rule"`
}

func readSentry(d Delivery) (Meaning, error) {
	var e sentryEvent
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return Meaning{}, fmt.Errorf("webhook of Sentry: %w", err)
	}
	switch resource := d.Header.Get("Sentry-Hook-Resource"); resource {
	case "event_alert":
		return e.triggered(d)
	case "issue":
		return e.changed(d)
	case "metric_alert":
		return e.metric(d)
	case "":
		return Meaning{}, errors.New("webhook of Sentry: the header Sentry-Hook-Resource is missing")
	default:
		return Meaning{Text: "Sentry " + word(resource) + " " + word(e.Action) + ", which means no signal"}, nil
	}
}

// triggered is a rule for issues that fired.
func (e sentryEvent) triggered(d Delivery) (Meaning, error) {
	ev := e.Data.Event
	if ev.IssueID == "" {
		return Meaning{}, errors.New("webhook of Sentry: data.event.issue_id is missing")
	}
	return e.told(d, sentryIssue, string(ev.IssueID), notification.Alert{
		Status: "firing", StartsAt: since(ev.When, d.Received), GeneratorURL: ev.URL,
		Labels:      pairs(map[string]string{"severity": severity(ev.Level), "project": projectOf(ev), "environment": ev.environment(), "rule": e.Data.Rule}, 1024),
		Annotations: pairs(map[string]string{"summary": ev.Title, "description": ev.Culprit, "link": ev.URL}, 4096),
	}, "an issue: "+word(ev.Title))
}

// changed is an issue that came or went.
func (e sentryEvent) changed(d Delivery) (Meaning, error) {
	i := e.Data.Issue
	if i.ID == "" {
		return Meaning{}, errors.New("webhook of Sentry: data.issue.id is missing")
	}
	a := notification.Alert{
		StartsAt: since(i.FirstSeen, d.Received), GeneratorURL: i.URL,
		Labels:      pairs(map[string]string{"severity": severity(i.Level), "project": i.Project.Slug}, 1024),
		Annotations: pairs(map[string]string{"summary": i.Title, "description": i.Culprit, "link": i.URL}, 4096),
	}
	switch e.Action {
	case "created", "unresolved":
		a.Status = "firing"
	case "resolved", "archived", "ignored":
		a.Status, a.EndsAt = "resolved", d.Received
	default:
		return Meaning{Text: "Sentry issue " + word(first(i.ShortID, string(i.ID))) + " " + word(e.Action) + ", which means no signal"}, nil
	}
	return e.told(d, sentryIssue, string(i.ID), a, "the issue "+word(i.Title)+" "+word(e.Action))
}

// metric is a metric alert that crossed a threshold.
func (e sentryEvent) metric(d Delivery) (Meaning, error) {
	m := e.Data.Metric
	if m.ID == "" {
		return Meaning{}, errors.New("webhook of Sentry: data.metric_alert.id is missing")
	}
	a := notification.Alert{
		Status: "firing", StartsAt: since(m.Started, d.Received), GeneratorURL: e.Data.URL,
		Labels:      pairs(map[string]string{"severity": e.Action, "project": strings.Join(m.Projects, ","), "rule": m.Rule.Name}, 1024),
		Annotations: pairs(map[string]string{"summary": first(e.Data.Title, m.Rule.Name), "description": e.Data.Text, "link": e.Data.URL}, 4096),
	}
	switch e.Action {
	case "critical", "warning":
	case "resolved":
		a.Status, a.EndsAt = "resolved", since(m.Closed, d.Received)
		delete(a.Labels, "severity")
	default:
		return Meaning{Text: "Sentry metric alert " + word(string(m.ID)) + " " + word(e.Action) + ", which means no signal"}, nil
	}
	return e.told(d, sentryMetric, string(m.ID), a, "a metric alert: "+word(first(e.Data.Title, m.Rule.Name)))
}

// told makes a notification of one alert. What Sentry's alerts are about is an
// id, not their labels, which change from telling to telling.
func (e sentryEvent) told(d Delivery, name, id string, a notification.Alert, what string) (Meaning, error) {
	a.Labels["alertname"] = name
	a.Fingerprint = notification.Fingerprint(map[string]string{"alertname": name, "hook": d.Hook, "id": id})
	n := &notification.Notification{
		GroupKey: "sentry/" + name + "/" + id, Receiver: d.Receiver, GroupLabels: map[string]string{"alertname": name}, ExternalURL: a.GeneratorURL,
		Alerts: []notification.Alert{a}, KeepStart: true,
	}
	if err := n.Check(); err != nil {
		return Meaning{}, fmt.Errorf("webhook of Sentry: %w", err)
	}
	return Meaning{Text: "Sentry told of " + what, Alerts: n}, nil
}

// severity puts Sentry's levels into the words of alerts.
func severity(level string) string {
	switch level {
	case "fatal":
		return "critical"
	case "error", "warning":
		return "warning"
	case "":
		return ""
	}
	return "info"
}

// projectOf finds the slug in the URL of the API, which is
// .../projects/ORGANIZATION/PROJECT/events/ID/.
func projectOf(e sentryOccurrence) string {
	_, rest, found := strings.Cut(e.APIURL, "/projects/")
	parts := strings.Split(rest, "/")
	if !found || len(parts) < 2 {
		return ""
	}
	return parts[1]
}

func (e sentryOccurrence) environment() string {
	if e.Env != "" {
		return e.Env
	}
	for _, tag := range e.Tags {
		if len(tag) == 2 && tag[0] == "environment" {
			return tag[1]
		}
	}
	return ""
}

func since(at looseTime, otherwise time.Time) time.Time {
	if at.IsZero() {
		return otherwise
	}
	return at.Time
}

// flexible is an id that is a text or a number.
type flexible string

// UnmarshalJSON implements json.Unmarshaler.
func (f *flexible) UnmarshalJSON(raw []byte) error {
	if text := string(raw); text != "null" {
		*f = flexible(strings.Trim(text, `"`))
	}
	return nil
}
