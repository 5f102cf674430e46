package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/signal"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestLasted(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:                      "0 s",
		999 * time.Millisecond:          "0 s",
		59 * time.Second:                "59 s",
		90 * time.Second:                "1 min 30 s",
		12*time.Minute + 20*time.Second: "12 min",
		time.Hour:                       "1 h",
		26*time.Hour + 30*time.Minute:   "1 d 2 h",
		23*time.Hour + 59*time.Minute:   "23 h 59 min",
		40*day + 5*time.Hour:            "40 d",
		time.Duration(1<<63 - 1):        "106751 d",
	} {
		if got := lasted(d); got != want {
			t.Errorf("%v is said as %q, want %q", d, got, want)
		}
	}
}

// TestPercent asks that 100 % is kept for what never failed.
func TestPercent(t *testing.T) {
	for ratio, want := range map[float64]string{
		1: "100 %", 0.9999999: "99.999 %", 0.99999: "99.999 %", 0.995: "99.5 %", 0: "0 %", 1.0 / 3: "33.333 %", 0.29: "29 %",
	} {
		if got := percent(ratio); got != want {
			t.Errorf("%v is said as %q, want %q", ratio, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 5000: "5,000", 1234567: "1,234,567", -5000: "-5,000", -500: "-500"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

func TestMoment(t *testing.T) {
	c := clock{now: noon, loc: time.UTC}
	for at, want := range map[time.Time]string{
		noon.Add(-time.Hour):      "11:00:00 UTC",
		noon.Add(-24 * time.Hour): "21 Nov 12:00 UTC",
		noon.AddDate(-1, 0, 0):    "22 Nov 2025 12:00 UTC",
		{}:                        "",
	} {
		if got := c.moment(at).Text; got != want {
			t.Errorf("%v is said as %q, want %q", at, got, want)
		}
	}
}

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"GET /\r\nHost: x\n\tok": "GET /\nHost: x\n\tok",
		"a\x00b\x1b[0m":          "a\ufffdb\ufffd[0m",
		"abc\u202egnp":           "abc\ufffdgnp",
		"\xff\xfe":               "\ufffd",
		"ääääääääääääääääääääää": "ääääääääääääääääääää…",
	} {
		if got := cleanText(in, 20); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x00\u202e", 3)
	f.Add("https://a:b@c/", 1000)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1000)
		got := line(s, limit)
		if n := len([]rune(got)); n > limit+1 || strings.ContainsFunc(got, hidden) {
			t.Errorf("%q becomes %q", s, got)
		}
		if _, href := webAddress(s); href != "" && !strings.HasPrefix(href, "http") {
			t.Errorf("%q links to %q", s, href)
		}
		similar(s, []Target{{Name: "gitlab"}, {Name: s}})
	})
}

func TestSummary(t *testing.T) {
	of := func(states ...signal.State) []Target {
		var out []Target
		for i, s := range states {
			out = append(out, Target{Name: fmt.Sprintf("t%d", i), State: s})
		}
		sortTargets(out)
		return out
	}
	for _, tt := range []struct {
		targets []Target
		want    string
	}{
		{nil, "No targets yet."},
		{of("up"), "The one target is up."},
		{of("up", "up"), "All 2 targets are up."},
		{of("up", "down"), "1 of 2 targets is down: t1"},
		{of("down"), "1 of 1 target is down: t0"},
		{of("down", "up", "down", "suspect"), "2 of 4 targets are down: t0, t2 / 1 is suspect: t3"},
		{of("down", "down", "down", "down", "down", "down", "down", "up"), "7 of 8 targets are down: t0, t1, t2, t3, t4 and 2 more"},
		{of("unreachable", "up"), "1 of 2 targets is unreachable: t0"},
		{of("suspect", "up"), "Nothing is down; 1 of 2 targets is suspect: t0"},
		{of("maintenance", "up"), "Nothing is down; 1 of 2 targets is in maintenance: t0"},
		{of("unknown", "up"), "Nothing is known to be down, but 1 of 2 targets is unknown: t0"},
		{of("unknown", "suspect"), "Nothing is down; 1 of 2 targets is suspect: t1 / 1 is unknown: t0"},
		{of("unknown", "unknown"), "Nothing is known yet about 2 targets: the first results are on their way."},
		{[]Target{{Name: "a", State: "unknown", Blind: true}, {Name: "b", State: "unknown"}}, "Nothing is known about 2 targets now."},
		{[]Target{{Name: "a", State: "unknown", Blind: true}}, "Nothing is known about 1 target: nobody is looking."},
	} {
		s := summarize(tt.targets)
		got := say(s.Line)
		for _, also := range s.Also {
			got += " / " + say(also.Line)
		}
		if got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func say(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text)
	}
	return b.String()
}

func TestCellsShowTheWorst(t *testing.T) {
	at := func(h float64) time.Time { return noon.Add(time.Duration(h * float64(time.Hour))) }
	intervals := []Interval{
		{State: signal.Up, From: at(-1), To: at(0.9)},
		{State: signal.Down, From: at(0.9), To: at(1.1)}, // over an edge: in both cells
		{State: signal.Up, From: at(1.1), To: at(2)},     // up to an edge: not beyond it
		{State: "haunted", From: at(3), To: at(4)},       // from a newer version
		{State: signal.Up, From: at(4)},                  // goes on
	}
	got := cellStates(intervals, noon, at(6), 6)
	want := []signal.State{signal.Down, signal.Down, "", signal.Unknown, signal.Up, signal.Up}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBarIsDrawnInRuns(t *testing.T) {
	got := paths([]signal.State{"", signal.Up, signal.Up, signal.Down, signal.Up})
	want := []barPath{{signal.Down, "M3 0h1v20h-1z"}, {signal.Up, "M1 6h2v14h-2zM4 6h1v14h-1z"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestShapesDiffer holds that a bar can be read without its colours.
func TestShapesDiffer(t *testing.T) {
	seen := map[string]signal.State{}
	for _, s := range badness() {
		d := fmt.Sprint(shape(s))
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one shape", s, other)
		}
		seen[d] = s
	}
}

func TestBarText(t *testing.T) {
	intervals := []Interval{
		{State: signal.Up, From: noon.Add(-30 * time.Hour), To: noon.Add(-12 * time.Hour)},
		{State: signal.Down, From: noon.Add(-12 * time.Hour), To: noon.Add(-11 * time.Hour)},
		{State: signal.Unknown, From: noon.Add(-11 * time.Hour), To: noon.Add(-10 * time.Hour)},
		{State: signal.Down, From: noon.Add(-10 * time.Hour), To: noon.Add(-9 * time.Hour)},
		{State: signal.Up, From: noon.Add(-8 * time.Hour)},
	}
	want := "Last 24 h: down 2 h (2 times), unknown 1 h, up 20 h, no record 1 h"
	if got := barText(intervals, noon.Add(-day), noon); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAvailability(t *testing.T) {
	for _, tt := range []struct {
		a    Availability
		want string
	}{
		{Availability{}, "not known"},
		{Availability{Unknown: time.Hour, Maintenance: time.Hour}, "not known"},
		{Availability{Up: 98 * time.Hour, Degraded: time.Hour, Down: time.Hour, Unknown: 100 * time.Hour}, "99 %"},
		{Availability{Down: time.Hour}, "0 %"},
	} {
		got := "not known"
		if ratio, ok := tt.a.Ratio(); ok {
			got = percent(ratio)
		}
		if got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.a, got, tt.want)
		}
	}
}

func TestSimilarNames(t *testing.T) {
	targets := []Target{{Name: "gitlab"}, {Name: "gitlab-disk"}, {Name: "dns"}, {Name: "artifacts"}}
	var got []string
	for _, p := range similar("GitLub", targets) {
		got = append(got, p.Text)
	}
	if diff := cmp.Diff([]string{"gitlab"}, got); diff != "" {
		t.Error(diff)
	}
}
