package sender

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/colliehq/collie/internal/notification"
)

// Mapping says where in a JSON document the parts of an alert are. A place is
// written as keys and positions with dots between them: data.items.0.name. A
// word in quotes stands for itself.
type Mapping struct {
	Alertname string            `yaml:"alertname"`
	Status    string            `yaml:"status"`   // without it, every delivery fires
	Resolved  []string          `yaml:"resolved"` // the values of status that mean resolved
	Ignored   []string          `yaml:"ignored"`  // the values of status that mean nothing
	Identity  string            `yaml:"identity"` // what makes two deliveries the same alert; without it its labels
	Severity  string            `yaml:"severity"`
	Summary   string            `yaml:"summary"`
	Link      string            `yaml:"link"`
	Labels    map[string]string `yaml:"labels"`
}

// Empty reports whether nothing is mapped.
func (m Mapping) Empty() bool { return m.Alertname == "" }

// Bad says what is wrong with a mapping, empty if nothing is.
func (m Mapping) Bad() string {
	given := m.Status != "" || m.Severity != "" || m.Summary != "" || m.Link != "" || m.Identity != "" || len(m.Labels)+len(m.Resolved)+len(m.Ignored) > 0
	switch {
	case m.Alertname == "" && given:
		return `alertname is missing: a place such as data.type, or a name in quotes such as '"Backup"'`
	case m.Status == "" && len(m.Resolved)+len(m.Ignored) > 0:
		return "resolved and ignored are values of status, which is missing"
	case m.Labels["alertname"] != "" || m.Labels["severity"] != "":
		return "alertname and severity have places of their own, above the labels"
	}
	return ""
}

func (m Mapping) alert(doc any, d Delivery) (notification.Alert, error) {
	a := notification.Alert{Status: "firing", StartsAt: d.Received, Labels: map[string]string{}}
	name, err := at(doc, m.Alertname)
	if err != nil || name == "" {
		return a, fmt.Errorf("mapping: nothing is at %s, which is to be the alertname", m.Alertname)
	}
	for label, place := range m.Labels {
		if value, err := at(doc, place); err == nil && value != "" {
			a.Labels[label] = value
		}
	}
	if m.Identity != "" {
		id, err := at(doc, m.Identity)
		if err != nil {
			return a, fmt.Errorf("mapping: identity: %w", err)
		}
		a.Fingerprint = notification.Fingerprint(map[string]string{"alertname": name, "hook": d.Hook, "id": id})
	}
	a.Labels["alertname"] = name
	if a.Fingerprint == "" {
		a.Fingerprint = notification.Fingerprint(a.Labels)
	}
	if severity, err := at(doc, m.Severity); err == nil && severity != "" {
		a.Labels["severity"] = severity
	}
	summary, _ := at(doc, m.Summary) // what is not there is not said
	link, _ := at(doc, m.Link)
	a.Annotations, a.Labels = pairs(map[string]string{"summary": summary, "link": link}, 4096), pairs(a.Labels, 1024)
	return a, m.status(doc, d, &a)
}

func (m Mapping) status(doc any, d Delivery, a *notification.Alert) error {
	if m.Status == "" {
		return nil
	}
	status, err := at(doc, m.Status)
	if err != nil {
		return fmt.Errorf("mapping: status: %w", err)
	}
	if slices.Contains(m.Resolved, status) {
		a.Status, a.EndsAt = "resolved", d.Received
	}
	return nil
}

// ignores reports whether the document is of no interest.
func (m Mapping) ignores(doc any) bool {
	status, err := at(doc, m.Status)
	return err == nil && slices.Contains(m.Ignored, status)
}

// at is what stands at a place, as text; a place in quotes is the text itself.
func at(doc any, place string) (string, error) {
	if place == "" {
		return "", nil
	}
	if n := len(place); n >= 2 && place[0] == '"' && place[n-1] == '"' {
		return place[1 : n-1], nil
	}
	for key := range strings.SplitSeq(place, ".") {
		next, ok := step(doc, key)
		if !ok {
			return "", fmt.Errorf("nothing is at %s", place)
		}
		doc = next
	}
	switch v := doc.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	raw, err := json.Marshal(doc)
	return string(raw), err
}

func step(doc any, key string) (any, bool) {
	switch v := doc.(type) {
	case map[string]any:
		next, ok := v[key]
		return next, ok
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}
