package page

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/signal"
)

func TestUproar(t *testing.T) {
	of := func(severities ...string) []Alert {
		var out []Alert
		for _, s := range severities {
			if s == "muted" {
				out = append(out, Alert{State: "suppressed"})
				continue
			}
			out = append(out, Alert{State: "active", Labels: map[string]string{"severity": s}})
		}
		return out
	}
	for _, tt := range []struct {
		firing []Alert
		err    error
		want   string
		title  string
		tint   signal.State
	}{
		{nil, nil, "No alert fires.", "No alerts", signal.Up},
		{nil, errors.New("refused"), "Nobody can say now what fires.", "Alerts not known", signal.Unknown},
		{of("critical"), nil, "1 critical alert fires.", "1 alert", signal.Down},
		{of("warning", "warning"), nil, "2 warning alerts fire.", "2 alerts", signal.Suspect},
		{of("info", "muted"), nil, "1 info alert fires. 1 more is muted.", "1 alert", signal.Up},
		{of("page"), nil, "1 alert fires.", "1 alert", signal.Suspect},
		{of("", "other"), nil, "2 alerts fire.", "2 alerts", signal.Suspect},
		{of("info", "page", "warning", "critical", "muted", "muted"), nil, "4 alerts fire: 1 critical, 1 warning, 1 other, 1 info. 2 more are muted.", "4 alerts", signal.Down},
		{of("muted"), nil, "1 alert fires, and is muted.", "No alerts", signal.Up},
		{of("muted", "muted"), nil, "2 alerts fire, all of them muted.", "No alerts", signal.Up},
	} {
		u := sumUp(tt.firing)
		got := []any{u.sentence(tt.err), u.title(tt.err), u.tint(tt.err)}
		if diff := cmp.Diff([]any{tt.want, tt.title, tt.tint}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestUnheard(t *testing.T) {
	c := clock{now: noon, loc: time.UTC}
	on, off := IRCNetwork{Name: "a", Connected: true}, IRCNetwork{Name: "b", Since: noon.Add(-time.Minute)}
	for _, tt := range []struct {
		networks []IRCNetwork
		want     string
	}{
		{nil, ""},
		{[]IRCNetwork{on, on}, ""},
		{[]IRCNetwork{on, off}, "IRC: b has not been connected for 1 min."},
		{[]IRCNetwork{{Name: "c"}}, "IRC: c is not connected yet."},
		{[]IRCNetwork{{Server: "irc.example.org:6697"}}, "IRC: irc.example.org:6697 is not connected yet."},
		{[]IRCNetwork{off, on, {}}, "IRC: b, a network are not connected."},
		{[]IRCNetwork{off, off, off, off, off}, "IRC: b, b, b and 2 more are not connected."},
	} {
		if got := c.unheard(tt.networks); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func TestNetworkRow(t *testing.T) {
	c := clock{now: noon, loc: time.UTC}
	for name, tt := range map[string]struct {
		network IRCNetwork
		echo    string
		late    bool
		next    string
	}{
		"no echo was ever counted": {IRCNetwork{EchoAge: 1<<63 - 1}, "never", true, ""},
		"just in time":             {IRCNetwork{EchoAge: 5 * time.Minute}, "5 min", false, ""},
		"next try in the past":     {IRCNetwork{NextTry: noon.Add(-time.Second)}, "0 s", false, ""},
		"next try to come":         {IRCNetwork{NextTry: noon.Add(90 * time.Second)}, "0 s", false, "1 min 30 s"},
		"no next try needed":       {IRCNetwork{Connected: true, NextTry: noon.Add(time.Hour)}, "0 s", false, ""},
	} {
		row := c.networkRow(tt.network)
		if row.Echo != tt.echo || row.Late != tt.late || row.NextIn != tt.next {
			t.Errorf("%s: echo %q, late %v, next try in %q", name, row.Echo, row.Late, row.NextIn)
		}
	}
}
