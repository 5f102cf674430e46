package ledger

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/signal"
)

// delivered is what the webhook room tells of a delivery.
func delivered(t *testing.T, verb string, at time.Time, a signal.Action) signal.Signal {
	t.Helper()
	a.Verb = verb
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signal.New(signal.Signal{
		ID: "webhook/h/d1/" + verb, Kind: signal.KindAction, Source: "webhook/h", Subject: "delivery/d1", Observed: at, Body: body,
		Annotations: map[string]string{
			"received": t0.Format(time.RFC3339Nano), "stored": t0.Add(2 * time.Millisecond).Format(time.RFC3339Nano),
			"hook": "grafana", "sender": "grafana", "key": "k1", "bytes": "886", "attempt": "2",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The way of a delivery: what others did because of it is part of the story,
// and what only has the same subject is not.
func TestWhyDelivery(t *testing.T) {
	r := newRig(t)
	alert := func(id string, at time.Time) signal.Signal {
		body, err := json.Marshal(signal.Alert{Receiver: "ops", GroupKey: "g", Fingerprint: "f"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := signal.New(signal.Signal{
			ID: id, Kind: signal.KindAlert, Source: "webhook/h", Subject: "alert/DiskFull/f", Status: signal.Firing, Observed: at,
			Labels: map[string]string{"alertname": "DiskFull"}, Annotations: map[string]string{"summary": "db1 has no room"}, Body: body,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	said := func(cause string, at time.Time) signal.Signal {
		body, err := json.Marshal(signal.Action{Verb: "line.confirmed", Text: "said in #ops on libera, confirmed by an echo", Causes: []string{cause}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := signal.New(signal.Signal{ID: "irc/" + cause, Kind: signal.KindAction, Source: "ircbot/h", Subject: "alert/DiskFull/f", Observed: at, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	handled := t0.Add(5 * time.Millisecond)
	r.tell(alert("a1", handled))
	r.tell(alert("other", handled))
	r.tell(delivered(t, "delivery.handled", handled, signal.Action{
		Text: "Grafana told ops of 1 alert", Effects: []signal.Effect{{ID: "a1", Subject: "alert/DiskFull/f"}},
	}))
	r.tell(said("a1", t0.Add(time.Second)))
	r.tell(said("other", t0.Add(2*time.Second)))
	story, err := r.Why(t.Context(), "delivery/d1", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range story.Steps {
		got = append(got, s.At.Format("05.000")+" "+s.What+" "+s.Text)
	}
	if diff := cmp.Diff([]string{
		"00.000 seen received by hook grafana from grafana, 886 bytes",
		"00.002 seen stored on the disk, and acknowledged, 2ms after it came",
		"00.005 decided handled, 5ms after it came, attempt 2: Grafana told ops of 1 alert",
		"00.005 delivered confirmed: the queue brought word of it to the record, 5ms after it came",
		"00.005 decided alert/DiskFull/f: firing alert DiskFull: db1 has no room",
		"01.000 delivered alert/DiskFull/f: said in #ops on libera, confirmed by an echo",
	}, got); diff != "" {
		t.Errorf("story (-want +got):\n%s", diff)
	}
}

func TestWhyParkedDelivery(t *testing.T) {
	r := newRig(t)
	if _, err := r.Why(t.Context(), "delivery/d1", time.Time{}); !errors.Is(err, ErrNoSubject) || !strings.Contains(err.Error(), "collie queue peek webhook") {
		t.Errorf("before anything is known: %v", err)
	}
	r.tell(delivered(t, "delivery.parked", t0.Add(time.Second), signal.Action{Text: "object_kind is missing"}))
	r.tell(delivered(t, "delivery.handled", t0.Add(time.Hour), signal.Action{Text: "GitLab event push, which means no signal"}))
	story, err := r.Why(t.Context(), "delivery/d1", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(story.Steps) != 6 || story.Steps[2].Text != "parked for a person, 1s after it came, attempt 2: object_kind is missing" ||
		story.Steps[4].Text != "handled, 1h0m0s after it came, attempt 2: GitLab event push, which means no signal" {
		t.Errorf("%+v", story.Steps)
	}
}
