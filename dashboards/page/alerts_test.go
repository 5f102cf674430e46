package page_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/dashboards/page/internal/fixture"
)

func barking(b page.Barks) http.Handler {
	return serveWith(page.Options{Source: fixture.Calm(fixture.Now()), Barks: b})
}

// rows are the rows of the tables of a class, as text.
func rows(t *testing.T, w *httptest.ResponseRecorder, class string) []string {
	t.Helper()
	var out []string
	for _, table := range elements(parse(t, w.Body.String()), "table") {
		if !strings.Contains(attr(table, "class"), class) {
			continue
		}
		for _, tr := range elements(table, "tr") {
			if attr(tr.Parent, "role") == "rowgroup" && tr.Parent.Data == "tbody" {
				out = append(out, text(tr))
			}
		}
	}
	return out
}

// TestNoBarks asks that a Collie that cannot bark shows nothing of it.
func TestNoBarks(t *testing.T) {
	h := serve(fixture.Calm(fixture.Now()))
	if w := get(t, h, "/alerts"); w.Code != http.StatusNotFound {
		t.Errorf("/alerts has status %d", w.Code)
	}
	for _, at := range []string{"/", "/journal", "/no/such/page"} {
		if body := get(t, h, at).Body.String(); strings.Contains(body, "lerts") {
			t.Errorf("%s speaks of alerts", at)
		}
	}
}

func TestAlertsAreInOrder(t *testing.T) {
	at := func(minutes int) time.Time { return fixture.Now().Add(-time.Duration(minutes) * time.Minute) }
	b := &fixture.Barks{}
	add := func(name, severity string, ago int, silences ...page.Silence) {
		b.Firing = append(b.Firing, page.Alert{Name: name, Labels: map[string]string{"severity": severity}, Started: at(ago), SilencedBy: silences})
	}
	add("info", "info", 1)
	add("muted-warning", "warning", 50, page.Silence{ID: "1"})
	add("muted-critical", "critical", 1, page.Silence{ID: "1"})
	add("page", "page", 1)
	add("warning", "warning", 1)
	add("critical-new", "critical", 1)
	add("critical-old", "critical", 5)
	add("critical-new-b", "critical", 1)
	var got []string
	for _, row := range rows(t, get(t, barking(b), "/alerts"), "alerts") {
		got = append(got, strings.Fields(row)[1])
	}
	want := []string{"critical-old", "critical-new", "critical-new-b", "warning", "page", "info", "muted-critical", "muted-warning"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAlertsSayWhatIsKnown reads rows of the site as a person would.
func TestAlertsSayWhatIsKnown(t *testing.T) {
	w := get(t, barking(fixture.Loud(fixture.Now())), "/alerts")
	for class, wants := range map[string][]string{
		"alerts": {
			"critical TargetDown gitlab 11 min since 14:19:12 UTC gitlab is down: answered 502 Bad Gateway, wanted 2xx",
			"ops, developers",
			"muted by a silence of ann until 16:00:12 UTC: new firmware (0d6b1a3c-6c2e-4f0b-9a51-2f6f0c1d7a44)",
			"muted while TargetDown of switch-2 fires (inhibited)",
			"muted, perhaps by a time interval of its route: Alertmanager does not say",
			"not said BuildQueueLong 3 h since 11:30:12 UTC 37 jobs wait for a runner of arm64 not routed yet",
		},
		"networks": {
			"libera irc.libera.chat:6697 as collie connected",
			"#example-ops joined #example-dev joined but the server refuses what we say: Cannot send to channel #example-secret not joined: the key is wrong 1 unconfirmed 41 s",
			"connection refused next try in 1 min 12 s, at 14:31:24 UTC",
			"14 waiting folding: more is to be said than may be 9 min 40 s, late",
		},
		"lines": {
			"14:19:12 UTC 11 min ago #ops office queued FIRING critical gitlab",
			"sent 1 try FIRING critical gitlab",
			"confirmed 1 try by its echo, after 1 s FIRING warning 12× TargetDown",
			"confirmed 2 tries by the server's answer to its label, within a second [a3f] RESOLVED",
			"by a PONG that followed, after 7 s DROPPED 3 lines",
			"folded FIRING warning runner-01", "dropped FIRING info wiki",
			"itself office queued heartbeat", // one that waits
		},
	} {
		all := strings.Join(rows(t, w, class), "\n")
		for _, want := range wants {
			if !strings.Contains(all, want) {
				t.Errorf("the %s lack %q:\n%s", class, want, all)
			}
		}
	}
	body := w.Body.String()
	for _, want := range []string{`href="/targets/gitlab"`, `href="/journal?subject=alert%2FTargetDown%2F`, `href="https://github.com/colliehq/collie/blob/main/docs/runbooks/TargetDown.md"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no link %s", want)
		}
	}
	if strings.Count(body, "heartbeat 20") != 1 {
		t.Error("heartbeats that arrived are listed")
	}
}

func TestManyAlertsArePaged(t *testing.T) {
	b := &fixture.Barks{}
	for i := range 250 {
		a := page.Alert{Name: "A", Started: fixture.Now().Add(-time.Duration(i) * time.Second)}
		if i < 120 {
			a.InhibitedBy = []string{"x"}
		}
		b.Firing = append(b.Firing, a)
	}
	h, at, n := barking(b), "/alerts", 0
	for at != "" && n < 1000 {
		w := get(t, h, at)
		if want := "130 alerts fire. 120 more are muted."; !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s lacks %q", at, want)
		}
		n += len(rows(t, w, "alerts"))
		at = ""
		for _, a := range elements(parse(t, w.Body.String()), "a") {
			if attr(a, "rel") == "next" {
				at = attr(a, "href")
			}
		}
	}
	if n != 250 {
		t.Errorf("%d alerts on all pages, want 250", n)
	}
}

func TestNewestLinesOnly(t *testing.T) {
	b := fixture.Quiet(fixture.Now())
	for range 1000 {
		b.Spool = append(b.Spool, page.IRCLine{Heartbeat: true, State: "folded"}, page.IRCLine{State: "confirmed", Text: "x"})
	}
	if n := len(rows(t, get(t, barking(b), "/alerts"), "lines")); n != 50 {
		t.Errorf("%d lines, want 50", n)
	}
}

// stuck is an Alertmanager elsewhere that does not answer.
type stuck struct{ fixture.Barks }

func (stuck) Alerts(ctx context.Context) ([]page.Alert, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestStuckAlertmanagerHoldsNothingUp asks that the states are shown, and IRC,
// while nobody can say what fires.
func TestStuckAlertmanagerHoldsNothingUp(t *testing.T) {
	b := &stuck{*fixture.Loud(fixture.Now())}
	h := serveWith(page.Options{Source: fixture.Site(fixture.Now()), Barks: b, Timeout: 500 * time.Millisecond})
	w := get(t, h, "/")
	body := text(parse(t, w.Body.String()))
	for _, want := range []string{"2 of 14 targets are down", "Nobody can say now what fires. IRC: office has not been connected for 9 min.", "Last 24 h: down"} {
		if w.Code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("status %d, / lacks %q", w.Code, want)
		}
	}
	w = get(t, h, "/alerts")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "deadline exceeded") || len(rows(t, w, "networks")) != 2 || len(rows(t, w, "lines")) == 0 {
		t.Errorf("/alerts has status %d, or lacks IRC", w.Code)
	}
}
