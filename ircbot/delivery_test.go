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

// confirmations are how lines are known to have arrived.
func TestConfirmation(t *testing.T) {
	echoOnly := []string{"echo-message", "message-tags"}
	for name, c := range map[string]struct {
		options ircd.Options
		method  string
	}{
		"labelled echo":          {ircd.Options{Caps: ircd.Modern()}, byLabel},
		"echo":                   {ircd.Options{Caps: echoOnly}, byEcho},
		"barrier":                {ircd.Options{}, byBarrier},
		"echo that never comes":  {ircd.Options{Caps: ircd.Modern(), NoEcho: true}, byBarrier},
		"refused capability":     {ircd.Options{Caps: ircd.Modern(), Nak: []string{"labeled-response"}}, byEcho},
		"blank and broken lines": {ircd.Options{Caps: ircd.Modern(), Blank: true}, byLabel},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.options, oneNetwork(), func(r *rig) {
				r.after(5 * time.Second)
				for _, target := range []string{"a", "b", "c"} {
					r.tell(alert{name: "Down", target: target, severity: "warning", summary: "gone"})
				}
				r.after(time.Minute)
				want := []string{"FIRING warning a Down: gone https://collie.test/", "FIRING warning b Down: gone https://collie.test/", "FIRING warning c Down: gone https://collie.test/"}
				if diff := cmp.Diff(want, r.texts("#ops")); diff != "" {
					t.Error(diff)
				}
				if got := r.metric("confirmations_total", "method", c.method); got != 3 {
					t.Errorf("%v lines confirmed by %s, want 3\n%s", got, c.method, r.log)
				}
				if got := r.metric("reconnects_total"); got != 0 {
					t.Errorf("%v reconnects", got)
				}
			})
		})
	}
}

func TestFaults(t *testing.T) {
	down := func(target string) alert {
		return alert{name: "Down", target: target, severity: "warning", summary: "gone"}
	}
	said := func(target string) string { return "FIRING warning " + target + " Down: gone https://collie.test/" }
	for name, c := range map[string]struct {
		options ircd.Options
		conf    func(*Network)
		story   func(*rig)
		want    []string
	}{
		"said before we are in": {story: func(r *rig) {
			r.tell(down("a"))
			r.after(time.Minute)
		}, want: []string{said("a")}},
		"reset before the line is read": {options: ircd.Options{Caps: ircd.Modern(), Delay: 3 * time.Second}, story: func(r *rig) {
			r.after(time.Minute)
			r.tell(down("a"))
			r.after(2 * time.Second)
			r.server.Drop()
			r.after(3 * time.Minute)
		}, want: []string{"[001] " + said("a")}},
		"reset before the echo is heard": {options: ircd.Options{}, story: func(r *rig) {
			r.after(time.Minute)
			r.server.Set(func(o *ircd.Options) { o.Delay = time.Second })
			r.tell(down("a"))
			r.after(1500 * time.Millisecond) // the line was read, the PING not
			r.server.Drop()
			r.after(3 * time.Minute)
		}, want: []string{said("a"), "[001] " + said("a")}},
		"kicked": {options: ircd.Options{Caps: ircd.Modern()}, story: func(r *rig) {
			r.after(time.Minute)
			r.server.Kick("#ops", "collie", "noise")
			r.after(time.Second)
			r.tell(down("a"))
			r.after(2 * time.Minute)
		}, want: []string{said("a")}},
		"nick taken": {options: ircd.Options{Caps: ircd.Modern(), Taken: []string{"collie", "collie_"}}, story: func(r *rig) {
			r.after(10 * time.Second)
			r.tell(down("a"))
			r.after(time.Minute)
			if !r.server.In("#ops", "collie2") {
				r.t.Error("the third nick is not used")
			}
			r.server.Set(func(o *ircd.Options) { o.Taken = nil })
			r.after(2 * time.Minute)
			if !r.server.In("#ops", "collie") {
				r.t.Error("the nick was not recovered")
			}
			r.tell(down("b"))
			r.after(time.Minute)
		}, want: []string{said("a"), said("b")}},
		"server that cuts": {options: ircd.Options{Caps: ircd.Modern(), Cut: 80}, story: func(r *rig) {
			r.after(10 * time.Second)
			r.tell(down("a"))
			r.after(2 * time.Minute)
			if got := r.metric("truncated_echoes_total"); got == 0 {
				r.t.Error("no truncated echo was counted")
			}
		}, want: []string{"FIRING warning a Down: gone https://colli", "[001] FIRING warning a Down: gone (1/2)", "https://collie.test/ (2/2)"}},
		"channel with a key, refused at first": {options: ircd.Options{Refuse: map[string]string{"#ops": "471"}}, story: func(r *rig) {
			r.after(10 * time.Second)
			r.tell(down("a"))
			if got := r.metric("join_failures_total", "reason", "full"); got == 0 {
				r.t.Error("no failure to join was counted")
			}
			r.server.Set(func(o *ircd.Options) { o.Refuse = nil })
			r.after(2 * time.Minute)
		}, want: []string{said("a")}},
		"moderated for a while": {options: ircd.Options{Caps: ircd.Modern()}, story: func(r *rig) {
			r.after(10 * time.Second)
			r.server.Set(func(o *ircd.Options) { o.Mute = []string{"#ops"} })
			r.tell(down("a"))
			r.after(2 * time.Second)
			r.server.Set(func(o *ircd.Options) { o.Mute = nil })
			r.after(5 * time.Minute)
		}, want: []string{"[001] " + said("a")}},
		"restart while the server is down": {options: ircd.Options{Caps: ircd.Modern()}, story: func(r *rig) {
			r.after(10 * time.Second)
			r.server.Down()
			r.after(time.Second)
			r.tell(down("a"))
			r.after(time.Minute)
			r.restart()
			r.tell(down("b"))
			r.after(time.Minute)
			r.server.Up()
			r.after(6 * time.Minute)
		}, want: []string{said("a"), said("b")}},
	} {
		t.Run(name, func(t *testing.T) {
			change := c.conf
			if change == nil {
				change = func(*Network) {}
			}
			inBubble(t, c.options, oneNetwork(change), func(r *rig) {
				c.story(r)
				if diff := cmp.Diff(c.want, r.texts("#ops")); diff != "" {
					t.Error(diff, r.log.String())
				}
			})
		})
	}
}

// A quiet server is no reason to leave.
func TestQuiet(t *testing.T) {
	inBubble(t, ircd.Options{}, oneNetwork(), func(r *rig) {
		r.after(2 * time.Hour)
		if got := r.metric("reconnects_total"); got != 0 {
			r.t.Errorf("%v reconnects", got)
		}
	})
}

// A server that hears us and answers nothing is left.
func TestDeaf(t *testing.T) {
	inBubble(t, ircd.Options{}, oneNetwork(), func(r *rig) {
		r.after(time.Minute)
		r.server.Set(func(o *ircd.Options) { o.Deaf = true })
		r.tell(alert{name: "Down", target: "a", severity: "warning", summary: "gone"})
		r.after(5 * time.Minute)
		r.server.Set(func(o *ircd.Options) { o.Deaf = false })
		r.after(6 * time.Minute)
		want := []string{"[001] FIRING warning a Down: gone https://collie.test/"}
		if diff := cmp.Diff(want, r.texts("#ops")); diff != "" {
			r.t.Error(diff, r.log.String())
		}
	})
}

func TestMissedWhileAway(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(10 * time.Second)
		r.server.Down()
		r.after(time.Second)
		at := time.Now()
		short := alert{name: "Down", target: "a", severity: "critical", summary: "gone", started: at}
		long := alert{name: "Down", target: "b", severity: "critical", summary: "gone", started: at}
		r.tell(short, long)
		r.after(4 * time.Minute)
		short.status = signal.Resolved
		r.tell(short)
		r.after(time.Minute)
		r.server.Up()
		r.after(6 * time.Minute)
		want := []string{
			"MISSED critical a Down: gone (00:00 to 00:04 UTC) https://collie.test/",
			"FIRING critical b Down: gone https://collie.test/",
		}
		if diff := cmp.Diff(want, r.texts("#ops")); diff != "" {
			t.Error(diff)
		}
		if got := r.metric("lines_total", "state", "missed"); got != 1 {
			t.Errorf("%v alerts counted as missed, want 1", got)
		}
	})
}
