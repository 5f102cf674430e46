package exporters

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/signal"
)

func TestTargetGoesDownAndUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web", func(c *TargetConfig) {
			c.Tier, c.Provides, c.DependsOn = "essential", []string{"git"}, nil
		})))
		w.after(time.Minute)
		w.breaks("web:80")
		w.after(time.Minute)
		if s := w.shown("web"); s != signal.Down {
			t.Errorf("shown as %q", s)
		}
		w.heals("web:80")
		w.after(time.Minute)
		if got, want := w.disk.story(t, "web"), "[unknown] up suspect down up"; got != want {
			t.Fatalf("story %q, want %q", got, want)
		}
		signals := w.disk.signals(t)
		down, suspect := signals[3], signals[2]
		if !down.Started.Equal(suspect.Observed) || down.Observed.Sub(suspect.Observed) != 20*time.Second {
			t.Errorf("down observed %s, started %s; suspect observed %s", down.Observed, down.Started, suspect.Observed)
		}
		want := signal.Target{
			Name: "web", State: signal.Down, Previous: signal.Suspect, Reason: "refused", Cause: "connection refused",
			Rule: "3 failed in a row", Address: "web:80", Probe: "fake", Tier: "essential", Provides: []string{"git"}, Every: "10s",
		}
		evidence := down.body.Evidence
		down.body.Evidence = ""
		if diff := cmp.Diff(want, down.body); diff != "" {
			t.Errorf("down (-want +got):\n%s", diff)
		}
		if strings.Count(evidence, "< RST") != 3 || strings.Count(evidence, "refused: connection refused") != 3 {
			t.Errorf("evidence of three failures:\n%s", evidence)
		}
		if suspect.body.Evidence != "> SYN\n< RST\n" {
			t.Errorf("evidence of the first failure: %q", suspect.body.Evidence)
		}
		labels := map[string]string{"target": "web", "tier": "essential", "probe": "fake"}
		if diff := cmp.Diff(labels, down.Labels); diff != "" || down.Status != signal.Firing || signals[4].Status != signal.Resolved {
			t.Errorf("labels (-want +got), status %s, then %s:\n%s", down.Status, signals[4].Status, diff)
		}
		checkOrder(t, w)
	})
}

// checkOrder holds what is true of all signals in every test: per target the
// sequence rises, no time goes back, and each transition begins where the last
// one ended.
func checkOrder(t *testing.T, w *world) {
	t.Helper()
	last := map[string]told{}
	ids := map[string]bool{}
	for _, s := range w.disk.signals(t) {
		if ids[s.ID] {
			t.Errorf("%s was told twice", s.ID)
		}
		ids[s.ID] = true
		before, known := last[s.body.Name]
		if known {
			if s.Seq <= before.Seq {
				t.Errorf("%s: seq %d after %d", s.body.Name, s.Seq, before.Seq)
			}
			if s.Observed.Before(before.Observed) {
				t.Errorf("%s: %s observed %s, before %s of %s", s.ID, s.body.State, s.Observed, before.Observed, before.ID)
			}
			if !s.body.Snapshot && s.body.Previous != before.body.State {
				t.Errorf("%s: from %s, but the last was %s", s.ID, s.body.Previous, before.body.State)
			}
			if s.body.Snapshot && !before.body.Removed && s.body.State != before.body.State {
				t.Errorf("%s: a snapshot changes %s to %s", s.ID, before.body.State, s.body.State)
			}
		} else if !s.body.Snapshot {
			t.Errorf("%s is the first of its target but no snapshot", s.ID)
		}
		last[s.body.Name] = s
	}
}

func TestWindow(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web", windowOf("2 of 3"))))
		w.after(5 * time.Second)
		for _, broken := range []bool{true, false, true} {
			if broken {
				w.breaks("web:80")
			} else {
				w.heals("web:80")
			}
			w.after(10 * time.Second)
		}
		if got, want := w.disk.story(t, "web"), "[unknown] up suspect up down"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
	})
}

// After kill -9 the target is unknown since the last lease, and a target that
// was down and still fails is down with the first result.
func TestRestartAfterKill(t *testing.T) {
	inWorld(t, func(w *world) {
		c := configOf(targetOf("up"), targetOf("down"), heartbeatOf("cron", time.Hour, time.Minute))
		w.breaks("down:80")
		w.up(c)
		w.after(time.Minute)
		leases := w.disk.leases(t)
		watermark := leases[len(leases)-1].Watermark
		w.after(5 * time.Second)
		w.kill()
		w.after(10 * time.Minute)
		killed := len(w.disk.signals(t))
		w.up(c)
		if s := w.shown("up"); s != signal.Unknown {
			t.Errorf("shown as %q before the first result", s)
		}
		w.after(30 * time.Second)
		if got, want := w.disk.story(t, "up"), "[unknown] up unknown [unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		if got, want := w.disk.story(t, "down"), "[unknown] suspect down unknown [unknown] down"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		if got, want := w.disk.story(t, "cron"), "[unknown] [unknown]"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		for _, s := range w.disk.signals(t)[killed:] {
			if s.body.State == signal.Unknown && !s.body.Snapshot && !s.Observed.Equal(watermark) {
				t.Errorf("%s is unknown since %s, want the watermark %s", s.body.Name, s.Observed, watermark)
			}
		}
		leases = w.disk.leases(t)
		if a, b := leases[0].Session, leases[len(leases)-1].Session; a == b {
			t.Errorf("both sessions are %q", a)
		}
		if w.own("collie_exporter_blind_total,start") != 1 {
			t.Error("the absence is not counted")
		}
		checkOrder(t, w)
	})
}

// A clean stop stores until when we looked.
func TestStopStoresTheWatermark(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web")))
		w.after(22 * time.Second)
		stopped := time.Now()
		w.stop()
		if l := w.disk.leases(t); !l[len(l)-1].Watermark.Equal(stopped) {
			t.Errorf("looked until %s, the last lease says %s", stopped, l[len(l)-1].Watermark)
		}
	})
}

func TestLeases(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web")))
		w.after(61 * time.Second)
		leases := w.disk.leases(t)
		if len(leases) != 5 { // at the start and every 15 s
			t.Fatalf("%d leases in a minute", len(leases))
		}
		for i, l := range leases {
			if l.Seq != uint64(i+1) || l.Every != 15*time.Second || l.Source != "exporter/test" {
				t.Errorf("lease %d: %+v", i, l)
			}
			if i > 0 && l.Watermark.Sub(leases[i-1].Watermark) != 15*time.Second {
				t.Errorf("lease %d: watermark %s after %s", i, l.Watermark, leases[i-1].Watermark)
			}
		}
		if age := w.own("collie_exporter_lease_age_seconds"); age != 1 {
			t.Errorf("age %v", age)
		}
	})
}

// A process that stood still looked at nothing: unknown from its last tick, and
// the probes that were on their way prove nothing.
func TestStall(t *testing.T) {
	inWorld(t, func(w *world) {
		w.takes = 5 * time.Second
		w.up(configOf(targetOf("web"), targetOf("rare", func(c *TargetConfig) { c.Every = time.Hour })))
		w.after(time.Minute)
		w.breaks("web:80")
		w.after(9 * time.Second) // a probe is on its way, at any phase
		before := time.Now()
		w.freeze(time.Minute)
		w.heals("web:80")
		w.after(20 * time.Second)
		signals := w.disk.signals(t)
		var unknown *told
		for i, s := range signals {
			if s.body.State == signal.Unknown && !s.body.Snapshot && s.body.Name == "web" {
				unknown = &signals[i]
			}
		}
		if unknown == nil {
			t.Fatalf("story %q", w.disk.story(t, "web"))
		}
		if d := before.Sub(unknown.Observed); d < 0 || d > tickEvery {
			t.Errorf("unknown since %s, %s before we stood still", unknown.Observed, d)
		}
		if got, want := w.disk.story(t, "rare"), "[unknown] up unknown up"; got != want {
			t.Errorf("story of the rare one %q, want %q", got, want)
		}
		if !strings.HasSuffix(w.disk.story(t, "web"), "unknown up") {
			t.Errorf("story %q", w.disk.story(t, "web"))
		}
		if w.own("collie_exporter_blind_total,stall") != 1 {
			t.Error("the stall is not counted")
		}
		checkOrder(t, w)
	})
}

// A result that was on its way while we stood still is not judged, whatever it
// says.
func TestStallDiscardsWhatWasOnItsWay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.takes = 5 * time.Second
		w.breaks("web:80")
		w.up(configOf(targetOf("web", windowOf("1"))))
		for w.own("collie_schedule_running") == 0 {
			w.after(100 * time.Millisecond)
		}
		w.freeze(time.Minute)
		w.after(tickEvery)
		w.mu.Lock() // the probe on its way has read that it fails
		w.takes = time.Second
		w.mu.Unlock()
		w.heals("web:80")
		w.after(time.Minute)
		if got, want := w.disk.story(t, "web"), "[unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		if w.own("collie_exporter_discarded_results_total") != 1 {
			t.Error("nothing was discarded")
		}
	})
}

// A stall too short for a gap must not turn time limits into failures.
func TestHiccupRepeatsTimeouts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.takes = 9 * time.Second // longer than the limit of 8 s
		w.up(configOf(targetOf("web", windowOf("1"))))
		for range 40 {
			w.after(700 * time.Millisecond)
			if w.own("collie_schedule_running") == 1 {
				break
			}
		}
		w.freeze(4 * time.Second)
		w.mu.Lock()
		w.takes = time.Second
		w.mu.Unlock()
		w.after(15 * time.Second)
		if got, want := w.disk.story(t, "web"), "[unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		if w.own("collie_exporter_discarded_results_total") != 1 {
			t.Error("the time limit that ran out while we stood still was judged")
		}
	})
}

func TestClockStepsAnHour(t *testing.T) {
	for name, step := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.up(configOf(targetOf("web")))
				w.after(time.Minute)
				w.step(step)
				w.after(time.Minute)
				w.breaks("web:80")
				w.after(time.Minute)
				w.heals("web:80")
				w.after(time.Minute)
				want := "[unknown] up suspect down up"
				if step > 0 {
					want = "[unknown] up unknown up suspect down up"
				}
				if got := w.disk.story(t, "web"); got != want {
					t.Errorf("story %q, want %q", got, want)
				}
				if ahead := w.own("collie_clock_ahead_seconds"); step < 0 && (ahead > 3600 || ahead < 3400) || step > 0 && ahead != 0 {
					t.Errorf("ahead by %v s", ahead)
				}
				checkOrder(t, w)
			})
		})
	}
}

// A probe that panics is a failed one, and costs no other target anything.
func TestPanicOfOneProbe(t *testing.T) {
	inWorld(t, func(w *world) {
		w.extra = []probe.Module{{Name: "broken", Kind: "tcp", Probe: func(context.Context, probe.Request) probe.Result {
			panic("on what the other side sent")
		}}}
		w.up(configOf(targetOf("web"), targetOf("bad", func(c *TargetConfig) { c.Probe = "broken" })))
		w.after(time.Minute)
		if w.shown("web") != signal.Up || w.shown("bad") != signal.Down {
			t.Errorf("web is %s, bad is %s", w.shown("web"), w.shown("bad"))
		}
		if s := w.disk.signals(t); s[len(s)-1].body.Reason != "protocol" {
			t.Errorf("the reason is %q", s[len(s)-1].body.Reason)
		}
	})
}

// The sequence begins at the time of the row, so that a wiped data directory
// repeats no id.
func TestWipedDataDirectory(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web")))
		w.after(time.Minute)
		w.stop()
		first := w.disk.signals(t)
		w.disk = newDisk()
		w.up(configOf(targetOf("web")))
		w.after(time.Minute)
		if a, b := first[len(first)-1].Seq, w.disk.signals(t)[0].Seq; b <= a {
			t.Errorf("seq %d after %d", b, a)
		}
	})
}
