package ircbot

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/words"
	"github.com/colliehq/collie/signal"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	early, late := now.Add(-2*time.Hour), now.Add(-time.Minute)
	firing := spool.Told{Status: signal.Firing, Started: early, Source: "a", Seq: 5, Episode: 1, At: now.Add(-time.Hour)}
	resolved := spool.Told{Status: signal.Resolved, Started: early, Source: "a", Seq: 5, Episode: 1, At: now.Add(-time.Hour)}
	for name, c := range map[string]struct {
		told    spool.Told
		status  signal.Status
		started time.Time
		seq     uint64
		repeat  bool
		why     string
		kind    words.Kind
		episode int
		want    verdict
	}{
		"first":                        {spool.Told{}, signal.Firing, early, 1, false, "first notification", words.Firing, 1, news},
		"resolved":                     {firing, signal.Resolved, early, 6, false, "", words.Resolved, 1, news},
		"resolved again":               {resolved, signal.Resolved, early, 6, true, "", "", 1, unchanged},
		"resolved, never told":         {spool.Told{}, signal.Resolved, early, 6, false, "", words.Resolved, 0, news},
		"fires again":                  {resolved, signal.Firing, late, 6, false, "", words.Firing, 2, news},
		"fires anew, end never told":   {firing, signal.Firing, late, 6, false, "", words.Firing, 2, news},
		"group changed, this did not":  {firing, signal.Firing, early, 6, true, "new alerts in group", "", 1, unchanged},
		"same by a second receiver":    {firing, signal.Firing, early, 6, false, "first notification", "", 1, unchanged},
		"repeated":                     {firing, signal.Firing, early, 6, true, repeated, words.Repeat, 1, news},
		"repeated by an outside":       {firing, signal.Firing, early, 6, true, "", words.Repeat, 1, news},
		"older than what was told":     {firing, signal.Resolved, early, 5, false, "", "", 1, stale},
		"another source counts anew":   {firing, signal.Resolved, early, 0, false, "", words.Resolved, 1, news},
		"repeated with a new start":    {firing, signal.Firing, late, 6, true, repeated, words.Repeat, 1, news},
		"resolved that ended later on": {resolved, signal.Resolved, late, 6, false, "", words.Resolved, 1, news},
	} {
		t.Run(name, func(t *testing.T) {
			in := incoming{
				signal: signal.Signal{Status: c.status, Started: c.started, Source: "a", Seq: c.seq}, alert: signal.Alert{Repeat: c.repeat, Why: c.why},
			}
			kind, next, got := judge(c.told, in, now)
			if kind != c.kind || got != c.want || next.Episode != c.episode {
				t.Errorf("%q, episode %d, verdict %d; want %q, %d, %d", kind, next.Episode, got, c.kind, c.episode, c.want)
			}
		})
	}
}

// Nothing is said twice because it was delivered twice, nor of alerts for others.
func TestSaidOnce(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(10 * time.Second)
		m := r.message(alert{name: "Down", target: "a", severity: "warning", summary: "gone"})
		again := m
		again.Key = "another delivery"
		other := r.message(alert{name: "Down", target: "b", severity: "warning", receiver: "others"})
		bad := queue.Message{Topic: signal.TopicSignals, Key: "bad", Body: []byte("{")}
		if err := r.queue.Publish(t.Context(), m, again, other, bad); err != nil {
			r.t.Fatal(err)
		}
		r.after(time.Minute)
		if got := r.texts("#ops"); len(got) != 1 {
			r.t.Errorf("said %q", got)
		}
		for name, want := range map[string]float64{"unrouted_alerts_total": 1, "parked_total": 1} {
			if got := r.metric(name); got != want {
				r.t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// What became of each alert is on the record, with its cause.
func TestActionsAreTold(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(10 * time.Second)
		r.tell(alert{name: "Down", target: "a", severity: "warning", summary: "gone"})
		r.after(time.Minute)
		for i := range 30 {
			r.tell(alert{name: "Storm", target: fmt.Sprint("s", i), severity: "warning"})
		}
		r.after(5 * time.Minute)
		verbs := map[string]int{}
		for _, s := range r.told() {
			a, err := s.Action()
			if err != nil {
				r.t.Fatal(err)
			}
			if len(a.Causes) != 1 || !strings.HasPrefix(s.Subject, "alert/") || s.Labels["target"] == "" {
				r.t.Errorf("%s of %s has causes %v and labels %v", a.Verb, s.Subject, a.Causes, s.Labels)
			}
			if s.Subject == "alert/Down/fa" && a.Text != "said in #ops on test, confirmed by a labelled echo" {
				r.t.Errorf("told: %s", a.Text)
			}
			verbs[a.Verb]++
		}
		if verbs[verbConfirmed]+verbs[verbFolded] != 31 || verbs[verbFolded] < 20 {
			r.t.Errorf("told %v", verbs)
		}
	})
}

// told are the signals that the bot wrote.
func (r *rig) told() (all []signal.Signal) {
	r.t.Helper()
	err := r.store.Tx(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT body FROM queue_messages ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				return err
			}
			var s signal.Signal
			if err := json.Unmarshal(raw, &s); err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// What a full spool cannot keep is counted and said as a count.
func TestSpoolIsBounded(t *testing.T) {
	conf := oneNetwork(func(n *Network) { n.Spool = SpoolSize{MaxBytes: 64 << 10, MaxAge: time.Hour} })
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, conf, func(r *rig) {
		r.after(10 * time.Second)
		r.server.Down()
		r.after(time.Minute)
		for i := range 300 {
			severity := "warning"
			if i < 3 {
				severity = "critical"
			}
			r.tell(alert{name: "Down", target: fmt.Sprint("host", i), severity: severity, summary: strings.Repeat("long ", 60)})
		}
		r.after(time.Second)
		dropped := r.metric("dropped_lines_total")
		if dropped == 0 {
			r.t.Error("nothing was dropped")
		}
		r.server.Up()
		r.after(10 * time.Minute)
		all := strings.Join(r.texts("#ops"), "\n")
		if !strings.Contains(all, fmt.Sprintf("DROPPED %v lines", dropped)) {
			r.t.Errorf("%v lines were dropped, said:\n%s", dropped, all)
		}
		for i := range 3 {
			if !strings.Contains(all, fmt.Sprint("host", i)) {
				r.t.Errorf("critical host%d is not named:\n%s", i, all)
			}
		}
	})
}

func TestTooOldIsCounted(t *testing.T) {
	conf := oneNetwork(func(n *Network) { n.Spool.MaxAge = time.Hour })
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, conf, func(r *rig) {
		r.after(10 * time.Second)
		r.server.Down()
		r.tell(alert{name: "Down", target: "a", severity: "warning"})
		r.after(2 * time.Hour)
		r.server.Up()
		r.after(10 * time.Minute)
		want := []string{"DROPPED 1 lines that waited for IRC longer, or were more, than the spool may keep https://collie.test/"}
		if diff := cmp.Diff(want, r.texts("#ops")); diff != "" {
			r.t.Error(diff)
		}
	})
}

// A new configuration moves channels without losing the connection, and
// networks with it.
func TestReload(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(10 * time.Second)
		r.Reload(oneNetwork(func(n *Network) { n.Channels = map[string]Channel{"#new": {Receivers: []string{"ops"}, Notice: true}} }))
		r.after(10 * time.Second)
		r.tell(alert{name: "Down", target: "a", severity: "warning", summary: "gone"})
		r.after(10 * time.Second)
		said := r.server.Said("#new")
		if len(said) != 1 || !said[0].Notice || r.server.In("#ops", "collie") || r.metric("reconnects_total") != 0 {
			r.t.Errorf("said %+v, in #ops: %v, %v reconnects", said, r.server.In("#ops", "collie"), r.metric("reconnects_total"))
		}
		r.Reload(nil)
		r.after(10 * time.Second)
		if got := r.State(); len(got) != 0 {
			r.t.Errorf("networks %+v run", got)
		}
	})
}
