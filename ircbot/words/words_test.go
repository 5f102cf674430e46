package words

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 1, 0, 0, time.UTC)

func TestText(t *testing.T) {
	base := About{Kind: Firing, Severity: "critical", Name: "TargetDown", Target: "gitlab", Summary: "refuses connections", Link: "https://c.test/r", Started: noon}
	with := func(f func(*About)) About {
		a := base
		f(&a)
		return a
	}
	for want, a := range map[string]About{
		"FIRING critical gitlab TargetDown: refuses connections https://c.test/r":                         base,
		"STILL FIRING critical gitlab TargetDown: refuses connections (since 12:01 UTC) https://c.test/r": with(func(a *About) { a.Kind = Repeat }),
		"RESOLVED critical gitlab TargetDown: refuses connections (after 3m) https://c.test/r":            with(func(a *About) { a.Kind, a.Ended = Resolved, noon.Add(190*time.Second) }),
		"MISSED critical gitlab TargetDown: refuses connections (12:01 to 12:04 UTC) https://c.test/r":    with(func(a *About) { a.Kind, a.Ended = Missed, noon.Add(190*time.Second) }),
		"FIRING critical gitlab QUIT: x y https://c.test/r":                                               with(func(a *About) { a.Name, a.Summary = "\r\nQUIT", "x\r\ny\x01" }),
		"FIRING TargetDown":                 {Kind: Firing, Name: "TargetDown"},
		"heartbeat 2026-11-22 12:01:00 UTC": {Kind: Heartbeat, Started: noon},
		"DROPPED 7 lines that waited for IRC longer, or were more, than the spool may keep https://c.test/log": {Kind: Dropped, Count: 7, Link: "https://c.test/log"},
	} {
		if got := a.Text(400); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestFoldCounts(t *testing.T) {
	var all []About
	for i := range 37 {
		all = append(all, About{Kind: Firing, Severity: "warning", Name: "DiskFull", Target: fmt.Sprint("h", i), More: "https://c.test/"})
	}
	got := Fold(all).Text(80)
	if want := "FIRING warning 37 DiskFull: h0, h1, h2, h3, h4, h5, and 31 more https://c.test/"; got != want || len(got) > 80 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	all = append(all, About{Kind: Firing, Severity: "warning", Name: "Slow", Target: "db"})
	got = Fold(all).Text(200)
	if want := "FIRING warning 38 of 2 kinds: DiskFull 37, Slow 1 (db) https://c.test/"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Second, "45s": 45 * time.Second, "3m": 3*time.Minute + 20*time.Second, "2h": 2 * time.Hour, "2h10m": 2*time.Hour + 10*time.Minute,
		"3d4h": 76 * time.Hour, "2d": 48 * time.Hour,
	} {
		if got := Span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestColoured(t *testing.T) {
	a := About{Kind: Firing, Severity: "critical", Name: "Down", Target: "h"}
	if got, want := a.Coloured(a.Text(400)), "\x0304FIRING critical\x0f h Down"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a.Severity = "odd"
	if got := a.Coloured(a.Text(400)); strings.ContainsRune(got, '\x03') {
		t.Errorf("%q has a colour", got)
	}
}

// Whatever labels hold, the text has no control characters.
func FuzzText(f *testing.F) {
	f.Add("Name", "target", "summary", "critical", "http://x", 3)
	f.Add("\r\nQUIT", "\x00", "\x01ACTION", "\x0304x y", "a b\n", 1)
	f.Fuzz(func(t *testing.T, name, target, summary, severity, link string, count int) {
		a := About{Kind: Firing, Name: name, Target: target, Summary: summary, Severity: severity, Link: link, Started: noon}
		texts := []string{a.Text(300)}
		if count > 1 && count < 1000 {
			texts = append(texts, Fold([]About{a, a, {Kind: Firing, Name: summary, Target: name}}).Text(300))
		}
		for _, text := range texts {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q", text)
			}
		}
	})
}
