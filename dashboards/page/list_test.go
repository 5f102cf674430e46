package page_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/dashboards/page/internal/fixture"
	"github.com/colliehq/collie/signal"
)

// names are the targets of a list, in its order.
func names(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	for _, th := range elements(parse(t, body), "th") {
		if attr(th, "scope") == "row" {
			out = append(out, text(elements(th, "a")[0]))
		}
	}
	return out
}

func TestOrderIsBadnessThenTierThenName(t *testing.T) {
	var targets []page.Target
	add := func(name string, s signal.State, tier string) {
		targets = append(targets, page.Target{Name: name, State: s, Tier: tier})
	}
	add("up-b", signal.Up, "optional")
	add("up-a", signal.Up, "optional")
	add("up-c", signal.Up, "essential")
	add("maintenance", signal.Maintenance, "essential")
	add("unknown", signal.Unknown, "essential")
	add("new-state", "haunted", "essential")
	add("degraded", signal.Degraded, "essential")
	add("suspect", signal.Suspect, "essential")
	add("unreachable", signal.Unreachable, "essential")
	add("down-untold", signal.Down, "")
	add("down-optional", signal.Down, "optional")
	add("down-necessary", signal.Down, "necessary")
	add("down-essential", signal.Down, "essential")
	want := []string{
		"down-essential", "down-necessary", "down-optional", "down-untold", "unreachable", "suspect", "degraded",
		"new-state", "unknown", "maintenance", "up-c", "up-a", "up-b",
	}
	got := names(t, get(t, serve(&fixture.Record{All: targets}), "/").Body.String())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFilter(t *testing.T) {
	h := serve(fixture.Site(fixture.Now()))
	for query, want := range map[string][]string{
		"?state=down":                         {"gitlab", "artifacts"},
		"?state=down&tier=essential":          {"gitlab"},
		"?q=REGISTRY":                         {"registry"},         // by name, without regard to case
		"?q=10.0.4.17":                        {"artifacts"},        // by cause
		"?q=postgres&state=up":                {"postgres", "wiki"}, // by what it needs
		"?q=database":                         {"postgres"},         // by what it provides
		"?q=example+tls":                      {"mail"},             // all words
		"?q=nobody":                           nil,
		"?state=haunted&tier=essential&q=dns": {"gitlab", "dns", "postgres"}, // a state that is none is no filter
	} {
		got := names(t, get(t, h, "/"+query).Body.String())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

func TestPaging(t *testing.T) {
	var targets []page.Target
	for i := range 250 {
		targets = append(targets, page.Target{Name: fmt.Sprintf("t%03d", i), State: signal.Up})
	}
	h := serve(&fixture.Record{All: targets})
	var got []string
	at := "/?q=t"
	for at != "" {
		body := get(t, h, at).Body.String()
		got = append(got, names(t, body)...)
		at = ""
		for _, a := range elements(parse(t, body), "a") {
			if attr(a, "rel") == "next" {
				at = attr(a, "href")
			}
		}
	}
	if len(got) != 250 || got[0] != "t000" || got[249] != "t249" {
		t.Errorf("%d names from the pages together, want 250 in order", len(got))
	}
}

func TestRemovedTargetsLeaveTheListButKeepTheirPage(t *testing.T) {
	h := serve(removed())
	if body := get(t, h, "/").Body.String(); strings.Contains(body, ">wiki<") || !strings.Contains(body, "of 13 targets") {
		t.Error("the list still has the removed target")
	}
	if body := get(t, h, "/targets/wiki").Body.String(); !strings.Contains(body, "has left the configuration") {
		t.Error("the page of a removed target does not say so")
	}
}

// TestBlindIsNotDown asks that a lapsed exporter is told as what it is.
func TestBlindIsNotDown(t *testing.T) {
	r := fixture.Site(fixture.Now())
	for i := range r.All {
		r.All[i].State, r.All[i].Blind, r.All[i].Seen = signal.Unknown, true, fixture.Now().Add(-14*time.Minute)
	}
	body := text(parse(t, get(t, serve(r), "/").Body.String()))
	for _, want := range []string{
		"Nothing is known about 14 targets: nobody is looking.",
		"Blind, not down: exporter/host1 was last heard 14 min ago, at 14:16:12 UTC. Nobody looks at its 13 targets until it is back.",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestDependenciesBothWays(t *testing.T) {
	h := serve(fixture.Site(fixture.Now()))
	body := text(parse(t, get(t, h, "/targets/artifacts").Body.String()))
	for _, want := range []string{"Needs dns up", "Needed by registry suspect"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q: %s", want, body)
		}
	}
}

func TestIntervalsArePaged(t *testing.T) {
	r := &fixture.Record{All: []page.Target{{Name: "a", State: signal.Up}}}
	for i := range 120 {
		to := fixture.Now().Add(-time.Duration(i) * time.Minute)
		r.History = append(r.History, page.Interval{Target: "a", State: signal.Up, From: to.Add(-time.Minute), To: to})
	}
	h := serve(r)
	at, pages := "/targets/a", 0
	for at != "" && pages < 10 {
		body := get(t, h, at).Body.String()
		pages, at = pages+1, ""
		for _, a := range elements(parse(t, body), "a") {
			if attr(a, "rel") == "next" {
				at = strings.TrimSuffix(attr(a, "href"), "#intervals")
			}
		}
	}
	if pages != 3 {
		t.Errorf("120 intervals are on %d pages, want 3", pages)
	}
}
