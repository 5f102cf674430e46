package verdict_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/signal"
)

var start = time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)

// play runs one letter per second through a machine: s is a success, f a
// failure, b a blind moment. It returns the initial of each state entered, or
// "." where nothing changed.
func play(rule verdict.Rule, letters string) string {
	m := verdict.New(start)
	var out strings.Builder
	for i, l := range letters {
		at := start.Add(time.Duration(i+1) * time.Second)
		var t *verdict.Transition
		switch l {
		case 's':
			m, t = m.Apply(rule, verdict.Result{At: at, Success: true})
		case 'f':
			m, t = m.Apply(rule, verdict.Result{At: at, Reason: "refused"})
		case 'b':
			m, t = m.Blind(at, "test")
		}
		if t == nil {
			out.WriteByte('.')
			continue
		}
		out.WriteString(map[signal.State]string{signal.Up: "U", signal.Suspect: "S", signal.Down: "D", signal.Unknown: "?"}[t.To])
	}
	return out.String()
}

func TestMachine(t *testing.T) {
	tests := []struct {
		name          string
		window        verdict.Window
		upAfter       int
		results, want string
	}{
		{"three in a row", verdict.InRow(3), 1, "sfffs", "US.DU"},
		{"a success clears the suspicion", verdict.InRow(3), 1, "sffsfff", "US.US.D"},
		{"one failure is down at once", verdict.InRow(1), 1, "sfsf", "UDUD"},
		{"down stays down", verdict.InRow(2), 1, "ffff", "SD.."},
		{"two successes to come back", verdict.InRow(1), 2, "sfsfss", "UD...U"},
		{"first results of a new target", verdict.InRow(2), 1, "ff", "SD"},
		{"3 of 5 with successes between", verdict.Window{Failed: 3, Of: 5}, 1, "sfsfsf", "USUSUD"},
		{"3 of 5 forgets the sixth", verdict.Window{Failed: 3, Of: 5}, 1, "sfssssfsf", "USU...SUS"},
		{"3 of 5 is met by three in a row", verdict.Window{Failed: 3, Of: 5}, 1, "fff", "S.D"},
		{"the window starts anew after up", verdict.Window{Failed: 3, Of: 5}, 1, "fffsfsff", "S.DUSUSD"},
		{"blind from up", verdict.InRow(3), 1, "sbfff", "U?S.D"},
		{"blind from down, still failing", verdict.InRow(3), 1, "fffbf", "S.D?D"},
		{"blind from down, works again", verdict.InRow(3), 1, "fffbsf", "S.D?US"},
		{"blind twice remembers down", verdict.InRow(3), 1, "fffbbf", "S.D?.D"},
		{"blind from suspect counts anew", verdict.InRow(3), 1, "ffbfff", "S.?S.D"},
		{"up after blindness needs no up_after", verdict.InRow(1), 3, "fbs", "D?U"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := play(verdict.Rule{DownAfter: tt.window, UpAfter: tt.upAfter}, tt.results)
			if got != tt.want {
				t.Errorf("results %s: states %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

func TestTransitionTellsItsStory(t *testing.T) {
	rule := verdict.Rule{DownAfter: verdict.InRow(2)}
	m := verdict.New(start)
	first, second := start.Add(time.Minute), start.Add(2*time.Minute)
	m, suspect := m.Apply(rule, verdict.Result{At: first, Reason: "timeout", Cause: "no answer", Evidence: "> SYN"})
	_, down := m.Apply(rule, verdict.Result{At: second, Reason: "refused", Cause: "connection refused", Evidence: "< RST"})
	want := []*verdict.Transition{
		{
			From: signal.Unknown, To: signal.Suspect, At: first, Started: first, Reason: "timeout",
			Cause: "no answer", Evidence: "> SYN", Rule: "1 failed, not yet 2 failed in a row",
		},
		{
			From: signal.Suspect, To: signal.Down, At: second, Started: first, Reason: "refused",
			Cause: "connection refused", Evidence: "< RST", Rule: "2 failed in a row",
		},
	}
	if diff := cmp.Diff(want, []*verdict.Transition{suspect, down}); diff != "" {
		t.Errorf("transitions (-want +got):\n%s", diff)
	}
}

func TestRuleText(t *testing.T) {
	tests := []struct {
		rule verdict.Rule
		want string
	}{
		{verdict.Rule{DownAfter: verdict.InRow(1)}, "1 failed result"},
		{verdict.Rule{DownAfter: verdict.Window{Failed: 1, Of: 5}}, "1 failed result"},
		{verdict.Rule{DownAfter: verdict.InRow(1), Silence: 25 * time.Hour}, "no ping for 25h0m0s"},
	}
	for _, tt := range tests {
		_, got := verdict.New(start).Apply(tt.rule, verdict.Result{At: start})
		if got == nil || got.Rule != tt.want {
			t.Errorf("rule of %+v: got %+v, want %q", tt.rule, got, tt.want)
		}
	}
}

func TestTimesNeverGoBack(t *testing.T) {
	rule := verdict.Rule{DownAfter: verdict.InRow(1)}
	m, _ := verdict.New(start).Apply(rule, verdict.Result{At: start.Add(time.Hour), Success: true})
	_, tr := m.Blind(start, "restart")
	if !tr.At.Equal(start.Add(time.Hour)) {
		t.Errorf("unknown from %s, before the last transition", tr.At)
	}
}

func TestWindowText(t *testing.T) {
	tests := map[string]struct {
		want verdict.Window
		err  string
	}{
		"3":        {want: verdict.InRow(3)},
		"3 of 5":   {want: verdict.Window{Failed: 3, Of: 5}},
		" 3  of 5": {want: verdict.Window{Failed: 3, Of: 5}},
		"64":       {want: verdict.InRow(64)},
		"":         {err: `write a number such as 3 (in a row), or "3 of 5"`},
		"0":        {err: "0 is not between 1 and 64"},
		"-1":       {err: "-1 is not between 1 and 64"},
		"65":       {err: "65 is not between 1 and 64"},
		"5 of 3":   {err: "can never be met: 3 results hold no 5 failures"},
		"3/5":      {err: `"3/5" is not a whole number`},
		"3 out 5":  {err: `"3 of 5"`},
		"3.5":      {err: `"3.5" is not a whole number`},
		"3m":       {err: `"3m" is not a whole number`},
	}
	for text, tt := range tests {
		t.Run(text, func(t *testing.T) {
			var got verdict.Window
			err := got.UnmarshalText([]byte(text))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestWindowFromYAML(t *testing.T) {
	var got []verdict.Window
	if err := yaml.Unmarshal([]byte(`[3, "3 of 5", 2 of 4]`), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]verdict.Window{{3, 3}, {3, 5}, {2, 4}}, got); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
}

// TestAgainstModel holds the machine to the sentences of its documentation,
// written a second time over the plain list of results, for random rules,
// results, blind moments, and restarts through JSON.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		of := 1 + rnd.IntN(6)
		rule := verdict.Rule{DownAfter: verdict.Window{Failed: 1 + rnd.IntN(of), Of: of}, UpAfter: rnd.IntN(4)}
		m, model := verdict.New(start), model{rule: rule, state: signal.Unknown}
		var log []string
		for i := range 60 {
			at := start.Add(time.Duration(i) * time.Second)
			was, since := m.State, m.Since
			var tr *verdict.Transition
			switch rnd.IntN(20) {
			case 0:
				log = append(log, "blind")
				model.blind()
				m, tr = m.Blind(at, "test")
			case 1:
				log = append(log, "restart")
				m = reload(t, m)
			default:
				ok := rnd.IntN(2) == 0
				log = append(log, fmt.Sprint(ok))
				model.result(ok)
				m, tr = m.Apply(rule, verdict.Result{At: at, Success: ok})
			}
			if m.State != model.state {
				t.Fatalf("seed %d, rule %+v, %v: state %s, want %s", seed, rule, log, m.State, model.state)
			}
			if (tr != nil) != (was != m.State) || tr != nil && (tr.From != was || tr.To != m.State || tr.At != at) || m.Since.Before(since) {
				t.Fatalf("seed %d: transition %+v from %s to %s", seed, tr, was, m.State)
			}
		}
	}
}

func reload(t *testing.T, m verdict.Machine) verdict.Machine {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back verdict.Machine
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Fatalf("machine through JSON (-want +got):\n%s", diff)
	}
	return back
}

type model struct {
	rule    verdict.Rule
	state   signal.State
	before  signal.State
	results []bool // since the last blindness or recovery
}

func (m *model) blind() {
	if m.state != signal.Unknown {
		m.before = m.state
	}
	m.state, m.results = signal.Unknown, nil
}

func (m *model) result(ok bool) {
	m.results = append(m.results, ok)
	switch {
	case ok && m.state == signal.Down:
		if m.lastSucceeded() >= max(1, m.rule.UpAfter) {
			m.state, m.results = signal.Up, nil
		}
	case ok:
		m.state, m.before = signal.Up, ""
	case m.state == signal.Down:
	case m.failedOfLast() >= m.rule.DownAfter.Failed, m.state == signal.Unknown && m.before == signal.Down:
		m.state, m.before = signal.Down, ""
	default:
		m.state, m.before = signal.Suspect, ""
	}
}

func (m *model) failedOfLast() (n int) {
	for _, ok := range m.results[max(0, len(m.results)-m.rule.DownAfter.Of):] {
		if !ok {
			n++
		}
	}
	return n
}

func (m *model) lastSucceeded() (n int) {
	for i := len(m.results) - 1; i >= 0 && m.results[i]; i-- {
		n++
	}
	return n
}
