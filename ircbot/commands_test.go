package ircbot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/signal"
)

// fakeQuestions is a record with three targets.
type fakeQuestions struct{ err error }

func (q fakeQuestions) Status(_ context.Context, target string) ([]TargetStatus, error) {
	since := time.Now().Add(-3 * time.Minute)
	all := []TargetStatus{
		{Name: "gitlab", State: signal.Down, Since: since, Reason: "connection\r\nrefused"},
		{Name: "db", State: signal.Up, Since: since}, {Name: "mirror", State: signal.Up, Since: since},
	}
	if target == "" {
		return all, q.err
	}
	for _, t := range all {
		if t.Name == target {
			return []TargetStatus{t}, q.err
		}
	}
	return nil, q.err
}

func (q fakeQuestions) Alerts(context.Context) (all []AlertStatus, err error) {
	for i := range 20 {
		all = append(all, AlertStatus{Name: "Slow", Severity: "warning", Target: fmt.Sprint("host", i), Since: time.Now().Add(-time.Hour)})
	}
	return append(all, AlertStatus{Name: "Down", Severity: "critical", Target: "gitlab", Since: time.Now().Add(-time.Minute), Muted: true}), q.err
}

func (q fakeQuestions) Why(_ context.Context, subject string) ([]string, error) {
	var lines []string
	if subject == "gitlab" {
		for i := range 50 {
			lines = append(lines, fmt.Sprintf("%d: %s", i, strings.Repeat("so it was ", 100)))
		}
	}
	return lines, q.err
}

func TestCommands(t *testing.T) {
	ask := func(text string) []string { return []string{":anna!a@home PRIVMSG #ops :" + text} }
	for name, c := range map[string]struct {
		lines []string
		q     Questions
		where string
		want  []string
	}{
		"help":             {ask("!help"), fakeQuestions{}, "#ops", []string{helpText}},
		"status":           {ask("!status"), fakeQuestions{}, "#ops", []string{"2 up, 1 down: gitlab is down for 3m (connection refused)"}},
		"status of one":    {ask("  !STATUS   gitlab "), fakeQuestions{}, "#ops", []string{"gitlab is down for 3m (connection refused)"}},
		"status of nobody": {ask("!status nobody"), fakeQuestions{}, "#ops", []string{"There is no target nobody."}},
		"alerts": {ask("!alerts"), fakeQuestions{}, "#ops", []string{
			"21 firing: critical gitlab Down for 1m (muted); warning host0 Slow for 1h; warning host1 Slow for 1h; warning host2 Slow for 1h; warning host3 Slow for 1h; and 16 more",
		}},
		"why of nothing":       {ask("!why"), fakeQuestions{}, "#ops", []string{"Why what? !why TARGET, or !why alert/NAME"}},
		"why of a stranger":    {ask("!why x"), fakeQuestions{}, "#ops", []string{"Nothing is on record about x."}},
		"failure":              {ask("!status"), fakeQuestions{errors.New("disk on fire")}, "#ops", []string{"I cannot tell at the moment; see the log of Collie."}},
		"nobody to ask":        {ask("!status"), nil, "#ops", []string{"This bot only tells alerts; it has nobody to ask."}},
		"in private":           {[]string{":anna!a@home PRIVMSG collie :!help"}, fakeQuestions{}, "anna", []string{helpText}},
		"notice":               {[]string{":anna!a@home NOTICE #ops :!help"}, fakeQuestions{}, "#ops", nil},
		"another bot":          {[]string{"@bot :anna!a@home PRIVMSG #ops :!help"}, fakeQuestions{}, "#ops", nil},
		"our own echo":         {[]string{":collie!collie@fake.test PRIVMSG #ops :!help"}, fakeQuestions{}, "#ops", nil},
		"command of others":    {ask("!seen anna"), fakeQuestions{}, "#ops", nil},
		"in a strange channel": {[]string{":anna!a@home PRIVMSG #other :!help"}, fakeQuestions{}, "#other", nil},
		"a server":             {[]string{":irc.test PRIVMSG #ops :!help"}, fakeQuestions{}, "#ops", nil},
		"many at once":         {append(append(ask("!help"), ask("!help")...), append(ask("!help"), ask("!help")...)...), fakeQuestions{}, "#ops", []string{helpText, helpText, "Slow down, 5 s."}},
		"ctcp version, twice": {[]string{":anna!a@home PRIVMSG collie :\x01VERSION\x01", ":anna!a@home PRIVMSG collie :\x01PING 12\x01"}, fakeQuestions{}, "anna", []string{
			"\x01VERSION Collie\x01",
		}},
		"ctcp in a channel": {[]string{":anna!a@home PRIVMSG #ops :\x01VERSION\x01"}, fakeQuestions{}, "#ops", nil},
	} {
		t.Run(name, func(t *testing.T) {
			withQuestions(t, c.q, func(r *rig) {
				r.after(10 * time.Second)
				r.server.Raw("collie", c.lines...)
				r.after(10 * time.Second)
				got := r.written(c.where)
				slices.Sort(got) // answers are found beside each other
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A long story is told in few lines, each of which fits.
func TestWhyIsBounded(t *testing.T) {
	withQuestions(t, fakeQuestions{}, func(r *rig) {
		r.after(10 * time.Second)
		r.server.Raw("collie", ":anna!a@home PRIVMSG #ops :!why gitlab")
		r.after(20 * time.Second)
		got := r.written("#ops")
		if len(got) != replyLines {
			t.Errorf("%d lines", len(got))
		}
		for i, l := range got {
			if !strings.HasPrefix(l, fmt.Sprint(i, ": so it was")) || len(l) > 480 {
				t.Errorf("%d bytes: %s", len(l), l)
			}
		}
	})
}

func withQuestions(t *testing.T, q Questions, story func(*rig)) {
	t.Helper()
	inBubbleWith(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), q, story)
}

// written are the texts that the bot wrote to a target, whether or not the
// server passed them on.
func (r *rig) written(target string) (texts []string) {
	for _, l := range r.server.Lines() {
		for _, command := range []string{"PRIVMSG", "NOTICE"} {
			if text, ok := strings.CutPrefix(l, command+" "+target+" "); ok {
				texts = append(texts, strings.TrimPrefix(text, ":"))
			}
		}
	}
	return texts
}
