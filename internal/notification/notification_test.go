package notification

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const sample = `{"version":"4","groupKey":"g","receiver":"r","status":"firing","groupLabels":{"a":"b"},"externalURL":"http://x",
	"alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{},"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z"}]}`

func TestDecode(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"good":     {sample, ""},
		"no JSON":  {"{", "webhook of an Alertmanager"},
		"version":  {strings.Replace(sample, `"4"`, `"3"`, 1), `version "3" is not 4`},
		"receiver": {strings.Replace(sample, `"r"`, `""`, 1), "receiver is empty"},
		"status":   {strings.Replace(sample, `[{"status":"firing"`, `[{"status":"burning"`, 1), `status "burning"`},
		"labels":   {strings.Replace(sample, `{"alertname":"A"}`, `{}`, 1), "no labels"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := Decode([]byte(tt.body))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			// Alertmanager's own: amtool alert add A; amtool alert query -o json.
			if tt.want == "" && n.Alerts[0].Fingerprint != "d2c6efc389df0927" {
				t.Errorf("fingerprint %s", n.Alerts[0].Fingerprint)
			}
		})
	}
}

// The largest alert that is accepted is told, if shortened.
func TestLargeAlertIsTold(t *testing.T) {
	long := strings.Repeat("\u0000é", 100_000)
	labels := map[string]string{"alertname": long}
	for i := range 200 {
		labels[fmt.Sprint(long, i)], labels[fmt.Sprint("l", i)] = long, long
	}
	a := Alert{Status: "firing", Labels: labels, Annotations: labels, Fingerprint: long, GeneratorURL: long, StartsAt: time.Unix(1, 0)}
	n := Notification{Receiver: long, GroupKey: long, GroupLabels: labels, ExternalURL: long, Reason: long}
	s, err := n.Signal(a, "alerting/"+strings.Repeat("h", 60), 1, time.Unix(2, 0))
	if err != nil {
		t.Fatal(err)
	}
	if s.Labels["alertname"] == "" {
		t.Error("the name of the alert is gone")
	}
}

func TestIDs(t *testing.T) {
	a := Alert{Status: "firing", Fingerprint: "f", StartsAt: time.Unix(1, 0)}
	base := Notification{Receiver: "r", GroupKey: "g"}
	seen := map[string]string{base.id(a, "alerting/h"): "base"}
	if _, same := seen[base.id(a, "alerting/h")]; !same {
		t.Error("the same telling has two ids")
	}
	for name, id := range map[string]string{
		"receiver": Notification{Receiver: "x", GroupKey: "g"}.id(a, "alerting/h"),
		"group":    Notification{Receiver: "r", GroupKey: "x"}.id(a, "alerting/h"),
		"status":   base.id(Alert{Status: "resolved", Fingerprint: "f", StartsAt: time.Unix(1, 0)}, "alerting/h"),
		"start":    base.id(Alert{Status: "firing", Fingerprint: "f", StartsAt: time.Unix(2, 0)}, "alerting/h"),
		"again":    base.id(Alert{Status: "firing", Fingerprint: "f", StartsAt: time.Unix(1, 0), Nonce: 1}, "alerting/h"),
		"source":   base.id(a, "alerting/x"),
	} {
		if other, taken := seen[id]; taken {
			t.Errorf("another %s has the id of %s", name, other)
		}
		seen[id] = name
	}
}

// Whatever a webhook says either is refused, or becomes valid signals.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(strings.Replace(sample, `"A"`, `"`+strings.Repeat("é\\u0000", 900)+`"`, 1)))
	f.Add([]byte(strings.Replace(sample, `"2026-01-01T00:00:00Z"`, `"0001-01-01T00:00:00+23:00"`, 1)))
	f.Add([]byte(strings.Replace(sample, `{"alertname":"A"}`, `{"":"x","a\nb":"\ud800"}`, 1)))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := Decode(body)
		if err != nil {
			return
		}
		for _, a := range n.Alerts {
			s, err := n.Signal(a, "alerting/h", 1, time.Unix(1, 0))
			if err != nil {
				t.Fatalf("an accepted alert cannot be told: %v\n%q", err, body)
			}
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatalf("%v\n%q", err, body)
			}
			if _, err := s.Alert(); err != nil {
				t.Fatalf("%v\n%q", err, body)
			}
		}
	})
}
