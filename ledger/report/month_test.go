package report_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/ledger/report"
	"github.com/colliehq/collie/signal"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestMonthsOfZones: the boundaries are written by hand in UTC, from the rules
// of the time zone database.
func TestMonthsOfZones(t *testing.T) {
	tests := map[string]struct {
		zone, month string
		from, to    string // UTC
		hours       float64
	}{
		"UTC":                      {"UTC", "2026-03", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", 31 * 24},
		"summer time begins":       {"Europe/Prague", "2026-03", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", 31*24 - 1},
		"summer time ends":         {"Europe/Prague", "2026-10", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", 31*24 + 1},
		"west of UTC":              {"America/New_York", "2026-03", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z", 31*24 - 1},
		"leap year":                {"Europe/Prague", "2024-02", "2024-01-31T23:00:00Z", "2024-02-29T23:00:00Z", 29 * 24},
		"half an hour":             {"Asia/Kolkata", "2026-06", "2026-05-31T18:30:00Z", "2026-06-30T18:30:00Z", 30 * 24},
		"midnight skipped":         {"Asia/Amman", "2016-04", "2016-03-31T22:00:00Z", "2016-04-30T21:00:00Z", 30*24 - 1},
		"ends at skipped midnight": {"Asia/Amman", "2016-03", "2016-02-29T22:00:00Z", "2016-03-31T22:00:00Z", 31 * 24},
		"midnight twice":           {"America/Havana", "2026-11", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z", 30*24 + 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			z := zone(t, tt.zone)
			middle, err := time.Parse("2006-01", tt.month)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range report.Months(middle.AddDate(0, -2, 0), middle.AddDate(0, 3, 0), z) {
				if m.Name != tt.month {
					continue
				}
				got := []string{m.From.UTC().Format(time.RFC3339), m.To.UTC().Format(time.RFC3339)}
				if diff := cmp.Diff([]string{tt.from, tt.to}, got); diff != "" {
					t.Errorf("bounds (-want +got):\n%s", diff)
				}
				if h := m.To.Sub(m.From).Hours(); h != tt.hours {
					t.Errorf("%v hours, want %v", h, tt.hours)
				}
				return
			}
			t.Fatalf("no month %s", tt.month)
		})
	}
}

func TestMonthsCoverTheWindow(t *testing.T) {
	since := time.Date(2025, 12, 24, 18, 0, 0, 0, time.UTC)
	until := time.Date(2026, 3, 30, 1, 2, 3, 4, time.UTC)
	months := report.Months(since, until, zone(t, "Europe/Prague"))
	var names []string
	at := since
	for _, m := range months {
		names = append(names, m.Name)
		if !m.From.Equal(at) {
			t.Errorf("%s begins at %v, want %v", m.Name, m.From, at)
		}
		at = m.To
	}
	if !at.Equal(until) {
		t.Errorf("ends at %v, want %v", at, until)
	}
	if diff := cmp.Diff([]string{"2025-12", "2026-01", "2026-02", "2026-03"}, names); diff != "" {
		t.Error(diff)
	}
	if got := report.Months(until, since, time.UTC); got != nil {
		t.Errorf("an empty window has months: %v", got)
	}
}

// TestOutageOverMonthsEnd: in Prague, an outage from 23:30 on 31 March to 01:00
// on 1 April 2026 (summer time, UTC+2) is half an hour of March and one of April.
func TestOutageOverMonthsEnd(t *testing.T) {
	from := time.Date(2026, 3, 31, 21, 30, 0, 0, time.UTC)
	spans := []report.Span{
		{From: from.Add(-240 * time.Hour), To: from, State: signal.Up},
		{From: from, To: from.Add(30 * time.Second), State: signal.Suspect},
		{From: from.Add(30 * time.Second), To: from.Add(90 * time.Minute), State: signal.Down},
		{From: from.Add(90 * time.Minute), State: signal.Up},
	}
	got := map[string]time.Duration{}
	for _, m := range report.Months(from.Add(-24*time.Hour), from.Add(24*time.Hour), zone(t, "Europe/Prague")) {
		got[m.Name] = report.Sum(spans, m.From, m.To).Down
	}
	if diff := cmp.Diff(map[string]time.Duration{"2026-03": 30 * time.Minute, "2026-04": time.Hour}, got); diff != "" {
		t.Errorf("down by month (-want +got):\n%s", diff)
	}
}

// TestDaylightSaving: an outage through the night in which clocks go from 2 to
// 3 lasts two real hours although the wall clock shows three.
func TestDaylightSaving(t *testing.T) {
	z := zone(t, "Europe/Prague")
	from, to := time.Date(2026, 3, 29, 1, 0, 0, 0, z), time.Date(2026, 3, 29, 4, 0, 0, 0, z)
	spans := []report.Span{{From: from, To: to, State: signal.Down}, {From: to, State: signal.Up}}
	if got := report.Sum(spans, from.Add(-time.Hour), to.Add(time.Hour)).Down; got != 2*time.Hour {
		t.Errorf("down %v, want 2h", got)
	}
}
