package ircbot

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/signal"
)

func TestAlertBecomesALine(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(5 * time.Second)
		start := time.Now()
		r.tell(alert{name: "TargetDown", target: "gitlab", severity: "critical", summary: "gitlab refuses connections", annotations: map[string]string{"runbook_url": "https://docs.test/down"}})
		r.after(3*time.Minute + 20*time.Second)
		r.tell(alert{name: "TargetDown", target: "gitlab", severity: "critical", summary: "gitlab refuses connections", status: signal.Resolved, started: start})
		r.after(5 * time.Second)
		want := []string{
			"FIRING critical gitlab TargetDown: gitlab refuses connections https://docs.test/down",
			"RESOLVED critical gitlab TargetDown: gitlab refuses connections (after 3m)",
		}
		if diff := cmp.Diff(want, r.texts("#ops")); diff != "" {
			t.Error(diff, r.log.String())
		}
		if got := r.metric("confirmations_total", "method", "label"); got != 2 {
			t.Errorf("%v lines confirmed by label, want 2", got)
		}
		if got := r.metric("delivery_seconds"); got != 2 {
			t.Errorf("%v deliveries timed, want 2", got)
		}
	})
}
