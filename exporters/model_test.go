package exporters

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// TestRandomLife lets everything happen at random: targets break and heal, the
// process is killed, stopped, stands still, the clock is stepped, the disk is
// full, the configuration changes. What was shown as acknowledged is in the
// record, once and in order, and the record of each target has neither gap nor
// overlap.
func TestRandomLife(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inWorld(t, func(w *world) { randomLife(t, w, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func randomLife(t *testing.T, w *world, rnd *rand.Rand) {
	names := []string{"a", "b", "c", "d"}
	config := func() Config {
		c := configOf(heartbeatOf("cron", 30*time.Second, 10*time.Second))
		for _, n := range names {
			if rnd.IntN(5) > 0 {
				c.Targets = append(c.Targets, targetOf(n, windowOf([]string{"1", "3", "2 of 4"}[rnd.IntN(3)])))
			}
		}
		return c
	}
	current := config()
	w.up(current)
	acknowledged := map[string]published{} // by name: what was shown last
	for range 150 {
		switch n := rnd.IntN(100); {
		case n < 30:
			w.breaks(names[rnd.IntN(4)] + ":80")
		case n < 60:
			w.heals(names[rnd.IntN(4)] + ":80")
		case n < 70:
			w.call(http.MethodPost, "/ping/cron")
		case n < 75:
			w.disk.set(func() { w.disk.full = !w.disk.full })
		case n < 78:
			w.disk.set(func() { w.disk.unsure = !w.disk.unsure })
		case n < 82:
			w.step(time.Duration(rnd.IntN(7200)-3600) * time.Second)
		case n < 85:
			w.freeze(time.Duration(rnd.IntN(60)) * time.Second)
		case n < 90:
			current = config()
			if err := w.Reload(t.Context(), current, w.modules()); err != nil {
				t.Fatal(err)
			}
		case n < 95:
			if n < 93 {
				w.kill()
			} else {
				w.stop()
			}
			checkAcknowledged(t, w, acknowledged)
			w.after(time.Duration(rnd.IntN(100)) * time.Second)
			w.disk.set(func() { w.disk.full, w.disk.unsure = false, false })
			w.up(current)
		}
		w.after(time.Duration(rnd.IntN(20_000)) * time.Millisecond)
		for _, s := range w.sights() {
			if s.published.state != "" {
				acknowledged[s.name] = s.published
			}
		}
	}
	w.disk.set(func() { w.disk.full, w.disk.unsure = false, false })
	w.after(time.Minute)
	w.stop()
	checkAcknowledged(t, w, acknowledged)
	checkOrder(t, w)
	if n := w.own("collie_exporter_lost_signals_total"); n != 0 {
		t.Errorf("%v signals were lost", n)
	}
}

// checkAcknowledged finds every state that was shown in the record.
func checkAcknowledged(t *testing.T, w *world, shown map[string]published) {
	t.Helper()
	signals := w.disk.signals(t)
	for name, p := range shown {
		if !slices.ContainsFunc(signals, func(s told) bool {
			return s.body.Name == name && s.body.State == p.state && (s.Observed.Equal(p.since) || s.body.Snapshot && p.state == signal.Unknown)
		}) {
			t.Errorf("%s was shown as %s since %s, but no signal says so", name, p.state, p.since)
		}
	}
}
