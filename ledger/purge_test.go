package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/signal"
)

func TestPurge(t *testing.T) {
	r := newRig(t)
	days := func(n int) time.Time { return t0.AddDate(0, 0, n) }
	r.tell(signalOf("old", 1, days(0), signal.Up)) // lasts: never deleted
	r.tell(signalOf("gone", 1, days(0), signal.Up))
	r.tell(signalOf("gone", 2, days(1), signal.Unknown, removed))
	for i := range 1200 { // more than two batches
		state := []signal.State{signal.Up, signal.Down}[i%2]
		r.tell(signalOf("busy", uint64(10+i), t0.Add(time.Duration(i)*time.Hour), state))
	}
	r.Reload(Config{Retention: 20 * day, JournalRetention: 10 * day})
	r.clock = days(50) // the last hour of busy is in day 49
	if err := r.purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{"old": 1, "gone": 0, "busy": 1200 - 30*24} {
		if got := len(r.lines(target)); got != want {
			t.Errorf("%s: %d intervals are left, want %d", target, got, want)
		}
	}
	spans := allSpans(t, r, "busy")
	checkRecord(t, r, "busy", spans, days(50))
	// What begins before the cutoff and lasts over it stays, uncut.
	if want := days(30); !spans[0].From.Equal(want) {
		t.Errorf("the record begins %v, want %v", spans[0].From, want)
	}
	page, err := r.Journal(t.Context(), JournalQuery{Limit: MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	if oldest := page.Items[len(page.Items)-1].At; oldest.Before(days(40)) {
		t.Errorf("an entry of %v is left in the journal", oldest)
	}
	targets, err := r.AllTargets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, target := range targets {
		names = append(names, target.Name)
	}
	if diff := cmp.Diff([]string{"busy", "old"}, names); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if n := testutil.ToFloat64(r.metrics.open); n != 2 {
		t.Errorf("%v open intervals are counted, want 2", n)
	}
}

func TestConfigValidate(t *testing.T) {
	var got []string
	bad := func(path, format string, args ...any) { got = append(got, path+": "+fmt.Sprintf(format, args...)) }
	Default().Validate(bad)
	Config{Retention: time.Hour}.Validate(bad)
	want := []string{
		"retention: 1h is shorter than a day; the downtimes of a month need 31d at least",
		"journal_retention: 0s is shorter than a day, less than a restart after a night needs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}
