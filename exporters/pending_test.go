package exporters

import (
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// While nothing can be stored, verdicts wait in order and nothing is shown out
// of order; then all of them are told.
func TestDiskFull(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web"), targetOf("other")))
		w.after(time.Minute)
		w.disk.set(func() { w.disk.full = true })
		for range 3 {
			w.breaks("web:80")
			w.after(time.Minute)
			w.heals("web:80")
			w.after(time.Minute)
		}
		w.breaks("web:80")
		w.after(time.Minute)
		if s := w.shown("web"); s != signal.Up {
			t.Errorf("shown as %q although nothing was stored", s)
		}
		if n := w.own("collie_exporter_pending_changes"); n != 11 {
			t.Errorf("%v pending, want 11", n)
		}
		if age := w.own("collie_exporter_lease_age_seconds"); age < 400 {
			t.Errorf("lease age %v although no lease was stored", age)
		}
		leases := len(w.disk.leases(t))
		w.disk.set(func() { w.disk.full, w.disk.unsure = false, true }) // stored, but we are not told
		w.after(10 * time.Second)
		w.disk.set(func() { w.disk.unsure = false })
		w.after(10 * time.Second)
		if got, want := w.disk.story(t, "web"), "[unknown] up suspect down up suspect down up suspect down up suspect down"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		if w.shown("web") != signal.Down || w.own("collie_exporter_pending_changes") != 0 {
			t.Errorf("shown as %q, %v pending", w.shown("web"), w.own("collie_exporter_pending_changes"))
		}
		if len(w.disk.leases(t)) == leases {
			t.Error("no lease after the disk was freed")
		}
		checkOrder(t, w)
	})
}

// What was judged before a lease is stored before it: else a crash after it
// would make the exporter claim that it looked and saw nothing.
func TestLeaseNeverOvertakesVerdicts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web", windowOf("1"), func(c *TargetConfig) { c.Every = time.Second })))
		for i := range 1500 { // for 1,000 s on end the disk is full: more than one commit takes
			switch i % 3 {
			case 0:
				w.breaks("web:80")
			case 1:
				w.heals("web:80")
			}
			w.disk.set(func() { w.disk.full = i%50 > 30 || i > 400 && i < 1400 })
			w.after(time.Second)
		}
		w.disk.set(func() { w.disk.full = false })
		w.after(time.Minute)
		var watermark time.Time
		for _, m := range w.disk.messages {
			switch m.Topic {
			case signal.TopicLeases:
				watermark = leaseOf(t, m).Watermark
			case signal.TopicSignals:
				if s := signalOf(t, m); s.Observed.Before(watermark) {
					t.Fatalf("%s was observed %s and stored after a lease until %s", s.ID, s.Observed, watermark)
				}
			}
		}
	})
}

func TestFullDiskAtTheStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.disk.full = true
		w.up(configOf(targetOf("web")))
		w.after(time.Minute)
		if s := w.shown("web"); s != "" {
			t.Errorf("shown as %q although nothing is stored", s)
		}
		w.disk.set(func() { w.disk.full = false })
		w.after(10 * time.Second)
		if got, want := w.disk.story(t, "web"), "[unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
	})
}

func TestPendingListIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web", windowOf("1"), func(c *TargetConfig) { c.Every = time.Second })))
		w.after(time.Minute)
		w.disk.set(func() { w.disk.full = true })
		for range 1100 {
			w.breaks("web:80")
			w.after(time.Second)
			w.heals("web:80")
			w.after(time.Second)
		}
		w.breaks("web:80")
		w.after(3 * time.Second)
		if n := w.own("collie_exporter_pending_changes"); n != maxPerTarget {
			t.Errorf("%v pending, want %d", n, maxPerTarget)
		}
		w.disk.set(func() { w.disk.full = false })
		w.after(time.Minute)
		if w.shown("web") != signal.Down {
			t.Errorf("shown as %q", w.shown("web"))
		}
		if n := w.own("collie_exporter_folded_transitions_total"); n < 1100 {
			t.Errorf("%v folded", n)
		}
		checkOrder(t, w)
	})
}
