package report_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/ledger/report"
	"github.com/colliehq/collie/signal"
)

// at is a time on 22 November 2026, UTC.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-11-22 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// story makes spans of state, from, state, from, ...; the last one is open.
func story(parts ...string) []report.Span {
	var spans []report.Span
	for i := 0; i < len(parts); i += 2 {
		from := at(parts[i+1])
		if len(spans) > 0 {
			spans[len(spans)-1].To = from
		}
		spans = append(spans, report.Span{From: from, State: signal.State(parts[i])})
	}
	return spans
}

// TestSum is written by hand: window 08:00 to 09:00, lengths in minutes.
func TestSum(t *testing.T) {
	const m = time.Minute
	tests := map[string]struct {
		spans []report.Span
		want  report.Totals
		ratio float64
		none  bool
	}{
		"nothing recorded":     {spans: nil, none: true},
		"up all the time":      {spans: story("up", "07:00:00"), want: report.Totals{Up: 60 * m}, ratio: 1},
		"open outage":          {spans: story("up", "07:00:00", "down", "08:45:00"), want: report.Totals{Up: 45 * m, Down: 15 * m}, ratio: 0.75},
		"outage over the end":  {spans: story("up", "07:00:00", "down", "08:30:00", "up", "10:00:00"), want: report.Totals{Up: 30 * m, Down: 30 * m}, ratio: 0.5},
		"outage over start":    {spans: story("down", "07:00:00", "up", "08:15:00"), want: report.Totals{Up: 45 * m, Down: 15 * m}, ratio: 0.75},
		"suspect then down":    {spans: story("up", "07:00:00", "suspect", "08:10:00", "down", "08:12:00", "up", "08:25:00"), want: report.Totals{Up: 45 * m, Down: 15 * m}, ratio: 0.75},
		"suspect then up":      {spans: story("up", "07:00:00", "suspect", "08:10:00", "up", "08:12:00"), want: report.Totals{Up: 60 * m}, ratio: 1},
		"suspect at the end":   {spans: story("up", "07:00:00", "suspect", "08:50:00"), want: report.Totals{Up: 50 * m, Undecided: 10 * m}, ratio: 1},
		"decided after window": {spans: story("up", "07:00:00", "suspect", "08:50:00", "down", "09:10:00"), want: report.Totals{Up: 50 * m, Down: 10 * m}, ratio: 50. / 60},
		"suspect then unknown": {spans: story("up", "07:00:00", "suspect", "08:50:00", "unknown", "08:52:00"), want: report.Totals{Up: 50 * m, Unknown: 10 * m}, ratio: 1},
		"unknown inside down": {
			spans: story("down", "08:00:00", "unknown", "08:20:00", "down", "08:40:00", "up", "08:45:00"),
			want:  report.Totals{Down: 25 * m, Unknown: 20 * m, Up: 15 * m}, ratio: 15. / 40,
		},
		"beside the ratio": {
			spans: story("up", "08:00:00", "degraded", "08:10:00", "down", "08:20:00", "unreachable", "08:30:00", "maintenance", "08:40:00", "unknown", "08:50:00"),
			want:  report.Totals{Up: 10 * m, Degraded: 10 * m, Down: 10 * m, Unreachable: 10 * m, Maintenance: 10 * m, Unknown: 10 * m}, ratio: 2. / 3,
		},
		"never judged":     {spans: story("unknown", "07:00:00"), want: report.Totals{Unknown: 60 * m}, none: true},
		"zero-length flip": {spans: story("up", "07:00:00", "down", "08:30:00", "up", "08:30:00"), want: report.Totals{Up: 60 * m}, ratio: 1},
		"record begins inside": {
			spans: story("up", "08:30:00"), want: report.Totals{Up: 30 * m}, ratio: 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := report.Sum(tt.spans, at("08:00:00"), at("09:00:00"))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("totals (-want +got):\n%s", diff)
			}
			ratio, ok := got.Availability()
			if ratio != tt.ratio || ok == tt.none {
				t.Errorf("availability %v, %v, want %v, %v", ratio, ok, tt.ratio, !tt.none)
			}
		})
	}
}

func TestDowntimes(t *testing.T) {
	type downtime struct {
		from, to      string
		end           report.End
		down, unknown time.Duration
	}
	const m = time.Minute
	tests := map[string]struct {
		spans []report.Span
		want  []downtime
	}{
		"none":                   {spans: story("up", "08:00:00", "suspect", "08:10:00", "up", "08:11:00")},
		"from the first failure": {story("up", "08:00:00", "suspect", "08:10:00", "down", "08:12:00", "up", "08:20:00"), []downtime{{"08:10:00", "08:20:00", "up", 10 * m, 0}}},
		"down at once":           {story("up", "08:00:00", "down", "08:10:00", "up", "08:20:00"), []downtime{{"08:10:00", "08:20:00", "up", 10 * m, 0}}},
		"still down":             {story("up", "08:00:00", "suspect", "08:10:00", "down", "08:12:00"), []downtime{{"08:10:00", "", "open", 50 * m, 0}}},
		"suspect now":            {spans: story("up", "08:00:00", "suspect", "08:10:00")},
		"ended by degraded":      {story("down", "08:00:00", "degraded", "08:10:00"), []downtime{{"08:00:00", "08:10:00", "degraded", 10 * m, 0}}},
		"maintenance ends one":   {story("down", "08:00:00", "maintenance", "08:10:00", "down", "08:20:00", "up", "08:30:00"), []downtime{{"08:00:00", "08:10:00", "maintenance", 10 * m, 0}, {"08:20:00", "08:30:00", "up", 10 * m, 0}}},
		"blind inside":           {story("down", "08:00:00", "unknown", "08:10:00", "down", "08:40:00", "up", "08:45:00"), []downtime{{"08:00:00", "08:45:00", "up", 15 * m, 30 * m}}},
		"blind, then suspicion":  {story("down", "08:00:00", "unknown", "08:10:00", "suspect", "08:40:00", "down", "08:42:00", "up", "08:45:00"), []downtime{{"08:00:00", "08:45:00", "up", 15 * m, 30 * m}}},
		"blind at the end":       {story("down", "08:00:00", "unknown", "08:10:00", "up", "08:40:00"), []downtime{{"08:00:00", "08:10:00", "blind", 10 * m, 0}}},
		"blind now":              {story("down", "08:00:00", "unknown", "08:10:00"), []downtime{{"08:00:00", "08:10:00", "blind", 10 * m, 0}}},
		"blind before is none of it": {
			story("unknown", "08:00:00", "down", "08:10:00", "up", "08:20:00"), []downtime{{"08:10:00", "08:20:00", "up", 10 * m, 0}},
		},
		"two": {
			story("down", "08:00:00", "up", "08:10:00", "suspect", "08:20:00", "down", "08:21:00", "up", "08:22:00"),
			[]downtime{{"08:00:00", "08:10:00", "up", 10 * m, 0}, {"08:20:00", "08:22:00", "up", 2 * m, 0}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []downtime
			for _, d := range report.Downtimes(tt.spans, at("09:00:00")) {
				g := downtime{d.From.Format(time.TimeOnly), "", d.End, d.Down, d.Unknown}
				if !d.To.IsZero() {
					g.to = d.To.Format(time.TimeOnly)
				}
				got = append(got, g)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(downtime{})); diff != "" {
				t.Errorf("downtimes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	d := report.Downtimes(story("down", "08:00:00", "unknown", "08:10:00", "down", "08:40:00"), at("09:00:00"))[0]
	tests := []struct {
		since, until string
		want         time.Duration
	}{
		{"07:00:00", "09:00:00", 30 * time.Minute},
		{"08:05:00", "08:50:00", 15 * time.Minute},
		{"08:15:00", "08:30:00", 0},
		{"07:00:00", "08:00:00", 0},
	}
	for _, tt := range tests {
		if got := d.Between(at(tt.since), at(tt.until)); got != tt.want {
			t.Errorf("between %s and %s: %v, want %v", tt.since, tt.until, got, tt.want)
		}
	}
}

// TestSumsEqualUTC holds the sums against plain arithmetic on random stories:
// every second of the window is counted once, and what is down in the sum is
// what the downtimes add up to.
func TestSumsEqualUTC(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		spans, end := randomSpans(r)
		since := spans[0].From
		totals := report.Sum(spans, since, end)
		if totals.Elapsed() != end.Sub(since) {
			t.Fatalf("seed %d: %v counted of %v", seed, totals.Elapsed(), end.Sub(since))
		}
		var down, months time.Duration
		for _, d := range report.Downtimes(spans, end) {
			down += d.Down
		}
		zone, err := time.LoadLocation("Europe/Prague")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range report.Months(since, end, zone) {
			sum := report.Sum(spans, m.From, m.To)
			months += sum.Down
		}
		if down != totals.Down || months != totals.Down {
			t.Fatalf("seed %d: down %v in the sum, %v in downtimes, %v in months", seed, totals.Down, down, months)
		}
	}
}

func randomSpans(r *rand.Rand) (spans []report.Span, end time.Time) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	states := signal.States()
	last := signal.State("")
	for range 1 + r.IntN(60) {
		s := states[r.IntN(len(states))]
		if s == last {
			continue
		}
		if len(spans) > 0 {
			spans[len(spans)-1].To = now
		}
		spans = append(spans, report.Span{From: now, State: s})
		now = now.Add(time.Duration(1 + r.Int64N(int64(20*24*time.Hour))))
		last = s
	}
	return spans, now
}
