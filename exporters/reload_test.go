package exporters

import (
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

func TestReload(t *testing.T) {
	inWorld(t, func(w *world) {
		w.breaks("down:80")
		w.up(configOf(targetOf("up"), targetOf("down"), targetOf("leaves")))
		w.after(time.Minute)
		next := configOf(targetOf("down"), targetOf("new"), targetOf("up", func(c *TargetConfig) { c.Tier = "optional" }))
		if err := w.Reload(t.Context(), next, w.modules()); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		for name, want := range map[string]string{
			"up": "[unknown] up [up]", "down": "[unknown] suspect down",
			"leaves": "[unknown] up removed", "new": "[unknown] up",
		} {
			if got := w.disk.story(t, name); got != want {
				t.Errorf("story of %s: %q, want %q", name, got, want)
			}
		}
		if strings.Contains(w.metrics(), "leaves") {
			t.Error("a removed target is still shown")
		}
		// It comes back, and its sequence goes on.
		if err := w.Reload(t.Context(), configOf(targetOf("leaves")), w.modules()); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		if got, want := w.disk.story(t, "leaves"), "[unknown] up removed [unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		checkOrder(t, w)
	})
}

func TestReloadRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web")))
		bad := configOf(targetOf("web", func(c *TargetConfig) { c.Probe = "nonsense" }))
		if err := w.Reload(t.Context(), bad, w.modules()); err == nil {
			t.Fatal("an unknown module was accepted")
		}
		w.after(time.Minute)
		if w.shown("web") != signal.Up {
			t.Errorf("the old configuration does not hold: %q", w.shown("web"))
		}
	})
}

// A probe that was on its way to the old address says nothing about the new one.
func TestReloadDiscardsResultsOfTheOldAddress(t *testing.T) {
	inWorld(t, func(w *world) {
		w.takes = 5 * time.Second
		w.breaks("web:80")
		w.up(configOf(targetOf("web")))
		for w.own("collie_schedule_running") == 0 {
			w.after(100 * time.Millisecond)
		}
		next := configOf(targetOf("web", func(c *TargetConfig) { c.Target = "moved:80" }))
		if err := w.Reload(t.Context(), next, w.modules()); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		if got, want := w.disk.story(t, "web"), "[unknown] [unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
	})
}

func TestTargetRemovedWhileAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("stays"), targetOf("leaves")))
		w.after(time.Minute)
		w.stop()
		w.up(configOf(targetOf("stays")))
		w.after(time.Minute)
		w.stop()
		w.up(configOf(targetOf("stays")))
		if got, want := w.disk.story(t, "leaves"), "[unknown] up unknown removed"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		checkOrder(t, w)
	})
}
