package ircbot

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
)

// A network is shown by its name before anything of it runs.
func TestStateBeforeTheStart(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := memory.New()
	defer q.Close()
	b, err := New(context.Background(), Options{
		Config: oneNetwork(), Store: s, Queue: q, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Source: "ircbot/host1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.State(); len(got) != 1 || got[0].Name != "test" || got[0].Connected {
		t.Errorf("%+v", got)
	}
}

// What is shown says of what kind it is, and the dead man's switch does not hide
// the rest as long as it arrives.
func TestLines(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(10 * time.Second)
		r.tell(alert{name: "Down", target: "a", severity: "critical", summary: "gone"})
		r.after(10 * time.Second)
		beat := func() {
			r.tell(alert{name: heartbeatAlert, receiver: heartbeatReceiver, severity: "none", repeat: true})
			r.after(time.Minute)
		}
		for range 5 {
			beat()
		}
		kinds := func() (kinds []string) {
			lines, err := r.Lines(r.t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				kinds = append(kinds, l.Kind+" "+l.State)
			}
			return kinds
		}
		if got := kinds(); !slices.Equal(got, []string{"firing confirmed"}) {
			t.Errorf("shown: %q", got)
		}
		r.server.Down()
		beat()
		if got := kinds(); !slices.Equal(got, []string{"heartbeat queued", "firing confirmed"}) {
			t.Errorf("shown while the server is away: %q", got)
		}
	})
}
