package signal

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// typePrefix precedes the kind in the CloudEvents attribute "type".
const typePrefix = "dev.collie.signal."

// event is the CloudEvents 1.0 structured form of a signal
// (https://github.com/cloudevents/spec, JSON event format 1.0.2). seq and
// environment are extension attributes; the rest is data.
type event struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype,omitempty"`
	Environment     string `json:"environment"`
	Data            data   `json:"data"`
}

type data struct {
	Status      Status            `json:"status,omitempty"`
	Seq         uint64            `json:"seq,omitempty"`
	Started     *time.Time        `json:"started,omitempty"`
	Ended       *time.Time        `json:"ended,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Body        []byte            `json:"body,omitempty"`
}

// MarshalJSON writes s as a CloudEvents 1.0 structured event.
func (s Signal) MarshalJSON() ([]byte, error) {
	return json.Marshal(event{
		SpecVersion: "1.0", ID: s.ID, Source: s.Source, Type: typePrefix + string(s.Kind),
		Subject: s.Subject, Time: s.Observed.Format(time.RFC3339Nano),
		DataContentType: "application/json", Environment: s.Environment,
		Data: data{
			Status: s.Status, Seq: s.Seq, Started: pointer(s.Started), Ended: pointer(s.Ended),
			Labels: s.Labels, Annotations: s.Annotations, Body: s.Body,
		},
	})
}

// UnmarshalJSON reads a CloudEvents 1.0 structured event and validates it as
// New does. Unknown attributes are ignored, as the specification asks.
func (s *Signal) UnmarshalJSON(raw []byte) error {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if e.SpecVersion != "1.0" {
		return fmt.Errorf("%w: specversion %q is not 1.0", ErrInvalid, e.SpecVersion)
	}
	kind, found := strings.CutPrefix(e.Type, typePrefix)
	if !found {
		return fmt.Errorf("%w: type %q does not begin with %q", ErrInvalid, e.Type, typePrefix)
	}
	observed, err := time.Parse(time.RFC3339Nano, e.Time)
	if err != nil {
		return fmt.Errorf("%w: time: %w", ErrInvalid, err)
	}
	valid, err := New(Signal{
		ID: e.ID, Kind: Kind(kind), Source: e.Source, Subject: e.Subject, Status: e.Data.Status, Seq: e.Data.Seq,
		Observed: observed, Started: value(e.Data.Started), Ended: value(e.Data.Ended),
		Labels: e.Data.Labels, Annotations: e.Data.Annotations, Body: e.Data.Body, Environment: e.Environment,
	})
	if err != nil {
		return err
	}
	*s = valid
	return nil
}

func pointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
