package ircbot

import (
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
)

// The dead man's switch goes to the bot itself, or to a channel of its own, and
// never to people; its age grows when it stops.
func TestHeartbeat(t *testing.T) {
	for name, c := range map[string]struct {
		options ircd.Options
		channel string
	}{
		"to ourselves":               {options: ircd.Options{Caps: ircd.Modern()}},
		"to ourselves without echo":  {options: ircd.Options{}},
		"to a channel for heartbeat": {options: ircd.Options{Caps: ircd.Modern()}, channel: "#beats"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.options, oneNetwork(func(n *Network) { n.HeartbeatChannel = c.channel }), func(r *rig) {
				for range 5 {
					r.tell(alert{name: heartbeatAlert, receiver: heartbeatReceiver, severity: "none", repeat: true})
					r.after(time.Minute)
				}
				place := first(c.channel, "collie")
				if got := len(r.texts(place)); got != 5 {
					t.Errorf("%d heartbeats in %s, want 5: %+v", got, place, r.server.Said(""))
				}
				for _, l := range r.texts("#ops") {
					t.Errorf("people were told: %s", l)
				}
				if got := r.metric("echo_age_seconds"); got > 61 {
					t.Errorf("the last echo is %v s old", got)
				}
				r.after(10 * time.Minute)
				if got := r.metric("echo_age_seconds"); got < 600 {
					t.Errorf("the last echo is %v s old, want 600 or more", got)
				}
			})
		})
	}
}

// While IRC is away, heartbeats do not pile up.
func TestHeartbeatsDoNotPileUp(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(time.Minute)
		r.server.Down()
		for range 100 {
			r.tell(alert{name: heartbeatAlert, receiver: heartbeatReceiver, severity: "none", repeat: true})
			r.after(time.Minute)
		}
		if got := r.metric("spool_lines", "state", "queued"); got > 1 {
			t.Errorf("%v lines wait", got)
		}
		r.server.Up()
		r.after(10 * time.Minute)
		if got := r.texts("collie"); len(got) != 1 || !strings.HasPrefix(got[0], "heartbeat ") {
			t.Errorf("said %q", got)
		}
	})
}
