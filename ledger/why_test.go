package ledger

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An alert may be asked for by its name: the newest of that name is told, with
// its deliveries, and none that only begins alike.
func TestWhyOfAnAlertByItsName(t *testing.T) {
	r := newRig(t)
	named := map[string]string{"alertname": "Full"}
	r.tell(other("alert", "alert/Full/aaaa", minute(1), named, "a is full"))
	r.tell(other("alert", "alert/Full/bbbb", minute(2), named, "b is full"))
	r.tell(other("action", "alert/Full/bbbb", minute(3), nil, "said in #ops"))
	r.tell(other("action", "alert/Full/aaaa", minute(4), nil, "said in #ops, late"))
	r.tell(other("alert", "alert/Fuller/cccc", minute(5), nil, "c is fuller"))
	r.tell(other("alert", "alert/Bare", minute(6), nil, "of one that gives no fingerprint"))
	for subject, want := range map[string][]string{
		"alert/Full":        {"alert/Full/bbbb", "alert Full: b is full", "said in #ops"},
		"alert/Full/aaaa":   {"alert/Full/aaaa", "alert Full: a is full", "said in #ops, late"},
		"alert/Bare":        {"alert/Bare", "alert alert/Bare: of one that gives no fingerprint"},
		"alert/Ful":         nil,
		"alert/":            nil,
		"alert/Full/aa%":    nil,
		"alert/Full'; --":   nil,
		"alert/Full/aaaa/x": nil,
	} {
		story, err := r.Why(t.Context(), subject, time.Time{})
		if want == nil {
			if !errors.Is(err, ErrNoSubject) {
				t.Errorf("%s: %+v, %v", subject, story, err)
			}
			continue
		}
		got := []string{story.Subject}
		for _, s := range story.Steps {
			got = append(got, s.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", subject, err, diff)
		}
	}
}
