package record_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// Who has three lines reads the verdict, the alert and whom it reached, however
// many deliveries came last.
func TestBrief(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	step := func(kind signal.Kind, what, text string) record.Step {
		at = at.Add(time.Second)
		return record.Step{At: at, Kind: kind, What: what, Text: text}
	}
	outage := []record.Step{
		step(signal.KindTarget, record.Decided, "up"),
		step(signal.KindTarget, record.Seen, "first failed result"),
		step(signal.KindTarget, record.Decided, "down"),
		step(signal.KindAlert, record.Decided, "firing alert Down"),
		step(signal.KindAction, record.Delivered, "said on a"),
		step(signal.KindAction, record.Delivered, "said on b"),
	}
	later := []record.Step{step(signal.KindTarget, record.Decided, "up again"), step(signal.KindAlert, record.Decided, "resolved alert Down")}
	for name, tt := range map[string]struct {
		steps []record.Step
		want  []string
	}{
		"nothing": {nil, nil},
		"an outage": {outage, []string{
			"08:00:03 down", "08:00:04 firing alert Down", "08:00:05 said on a; 08:00:06 said on b", "08:00:02 first failed result", "08:00:01 up",
		}},
		"an alert alone": {outage[3:], []string{"08:00:04 firing alert Down", "08:00:05 said on a; 08:00:06 said on b"}},
		"not yet told":   {append(outage[3:6:6], later...), []string{"08:00:07 up again", "08:00:08 resolved alert Down", "08:00:06 said on b", "08:00:05 said on a", "08:00:04 firing alert Down"}},
	} {
		if diff := cmp.Diff(tt.want, record.Story{Steps: tt.steps}.Brief()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
