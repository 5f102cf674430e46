package signal_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/signal"
)

var at = time.Date(2026, 11, 22, 8, 30, 0, 123456789, time.FixedZone("CET", 3600))

func valid() signal.Signal {
	return signal.Signal{
		ID: "e1-7", Kind: signal.KindTarget, Source: "exporter/host1", Subject: "target/gitlab",
		Status: signal.Firing, Seq: 7, Observed: at, Started: at.Add(-time.Minute),
		Labels: map[string]string{"target": "gitlab", "reason": "refused"}, Annotations: map[string]string{"cause": "connection refused"},
		Body: []byte("dial tcp"),
	}
}

func TestNewValidates(t *testing.T) {
	tests := map[string]struct {
		change func(*signal.Signal)
		want   string
	}{
		"good":              {func(*signal.Signal) {}, ""},
		"no id":             {func(s *signal.Signal) { s.ID = "" }, "id is empty"},
		"unknown kind":      {func(s *signal.Signal) { s.Kind = "rumour" }, `kind "rumour" is not one of`},
		"subject of target": {func(s *signal.Signal) { s.Subject = "gitlab" }, `does not begin with "target/"`},
		"line break":        {func(s *signal.Signal) { s.Subject = "target/a\nb" }, "control characters"},
		"status":            {func(s *signal.Signal) { s.Status = "burning" }, `status "burning"`},
		"no time":           {func(s *signal.Signal) { s.Observed = time.Time{} }, "observed is not set"},
		"ends before start": {func(s *signal.Signal) { s.Ended = s.Started.Add(-1) }, "is before started"},
		"body":              {func(s *signal.Signal) { s.Body = make([]byte, signal.MaxBody+1) }, "body has"},
		"label value":       {func(s *signal.Signal) { s.Labels["x"] = strings.Repeat("a", signal.MaxLabelValue+1) }, "label x has"},
		"utf-8":             {func(s *signal.Signal) { s.Annotations["x"] = "\xff" }, "annotation x is not valid UTF-8"},
		"year":              {func(s *signal.Signal) { s.Observed = time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC) }, "outside of the years"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := valid()
			tt.change(&s)
			_, err := signal.New(s)
			switch {
			case tt.want == "" && err != nil:
				t.Fatalf("New: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, signal.ErrInvalid)):
				t.Fatalf("New: got %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := signal.New(signal.Signal{})
	for _, want := range []string{"id is empty", "source is empty", "subject is empty", "kind", "observed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestNewCopies(t *testing.T) {
	labels := map[string]string{"target": "gitlab"}
	s := valid()
	s.Labels = labels
	s, err := signal.New(s)
	if err != nil {
		t.Fatal(err)
	}
	labels["target"] = "changed"
	other := s.WithLabel("target", "other")
	if s.Labels["target"] != "gitlab" || other.Labels["target"] != "other" {
		t.Errorf("labels are shared: %v, %v", s.Labels, other.Labels)
	}
}

// TestJSONIsCloudEvents holds the wire form against the attribute names of the
// CloudEvents specification, written down by hand.
func TestJSONIsCloudEvents(t *testing.T) {
	s, err := signal.New(valid())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"specversion":"1.0","id":"e1-7","source":"exporter/host1","type":"dev.collie.signal.target",` +
		`"subject":"target/gitlab","time":"2026-11-22T07:30:00.123456789Z","datacontenttype":"application/json",` +
		`"environment":"production","data":{"status":"firing","seq":7,"started":"2026-11-22T07:29:00.123456789Z",` +
		`"labels":{"reason":"refused","target":"gitlab"},"annotations":{"cause":"connection refused"},"body":"ZGlhbCB0Y3A="}}`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	var back signal.Signal
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

func TestFingerprint(t *testing.T) {
	s := valid()
	same := s
	same.ID, same.Seq, same.Status, same.Annotations, same.Body = "other", 99, signal.Resolved, nil, nil
	if s.Fingerprint() != same.Fingerprint() {
		t.Error("id, seq, status, annotations and body are no part of what a signal is about")
	}
	// A boundary moved between two parts must not collide.
	a := signal.Signal{Kind: "log", Subject: "ab", Labels: map[string]string{"c": "d"}}
	b := signal.Signal{Kind: "log", Subject: "a", Labels: map[string]string{"bc": "d"}}
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("two subjects share a fingerprint")
	}
}

func FuzzUnmarshal(f *testing.F) {
	good, err := json.Marshal(valid())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"specversion":"1.0","type":"dev.collie.signal.log"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"a","source":"b","type":"dev.collie.signal.log","subject":"c","time":"2026-11-22T07:30:00Z","data":{"labels":null}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s signal.Signal
		if err := json.Unmarshal(raw, &s); err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("a decoded signal cannot be encoded: %v", err)
		}
		var back signal.Signal
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("an encoded signal cannot be decoded: %v\n%s", err, again)
		}
		if back.Fingerprint() != s.Fingerprint() || back.ID != s.ID {
			t.Fatalf("round trip changed the signal: %s", again)
		}
	})
}

func TestTargetBody(t *testing.T) {
	tests := map[string]struct {
		kind          signal.Kind
		subject, body string
		wantErr       string
	}{
		"good":      {"target", "target/a", `{"name":"a","state":"down"}`, ""},
		"not json":  {"target", "target/a", `{`, "body of a target signal"},
		"other":     {"target", "target/a", `{"name":"b","state":"down"}`, `tells of target "b"`},
		"state":     {"target", "target/a", `{"name":"a","state":"gone"}`, `state "gone"`},
		"not kinds": {"log", "target/a", `{}`, "has no target"},
	}
	for name, tt := range tests {
		got, err := signal.Signal{Kind: tt.kind, Subject: tt.subject, Body: []byte(tt.body)}.Target()
		if tt.wantErr == "" && (err != nil || got.State != signal.Down) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
			t.Errorf("%s: got %v, want %q", name, err, tt.wantErr)
		}
	}
}
