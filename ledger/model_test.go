package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ledger/report"
	"github.com/colliehq/collie/signal"
)

// faulty is a store whose writes fail at random: before anything was stored,
// as on a full disk, or after, as when the answer is lost.
type faulty struct {
	*store.Store
	r *rand.Rand
}

func (f faulty) Tx(ctx context.Context, do func(*store.Tx) error) error {
	switch f.r.IntN(10) {
	case 0:
		return fmt.Errorf("write: %w", queue.ErrFull)
	case 1:
		if err := f.Store.Tx(ctx, do); err != nil {
			return err
		}
		return fmt.Errorf("commit: %w", queue.ErrUnknown)
	}
	return f.Store.Tx(ctx, do)
}

// exporterModel says what an exporter would: states that change, the end of
// its own sessions as unknown, snapshots at each start. Its times never go
// back for one target, and often stand still.
type exporterModel struct {
	r      *rand.Rand
	now    time.Time
	seq    uint64
	states map[string]signal.State
	last   map[string]time.Time
	said   []signal.Signal
}

func (e *exporterModel) say(target string, at time.Time, s signal.State, change ...func(*signal.Signal, *signal.Target)) {
	if at.Before(e.last[target]) {
		at = e.last[target]
	}
	e.seq++
	e.said = append(e.said, signalOf(target, e.seq, at, s, change...))
	e.states[target], e.last[target] = s, at
}

func (e *exporterModel) run(steps int) {
	targets := []string{"a", "b", "c"}
	for _, t := range targets {
		e.say(t, e.now, signal.Unknown)
	}
	next := map[signal.State][]signal.State{
		signal.Unknown: {signal.Up, signal.Suspect, signal.Down},
		signal.Up:      {signal.Suspect, signal.Down},
		signal.Suspect: {signal.Up, signal.Down},
		signal.Down:    {signal.Up},
	}
	for range steps {
		e.now = e.now.Add(time.Duration(e.r.IntN(3)) * time.Duration(1+e.r.IntN(int(time.Minute))))
		if e.r.IntN(15) == 0 { // killed: it is known to have looked until a watermark
			watermark := e.now
			e.now = e.now.Add(time.Duration(e.r.IntN(int(10 * time.Minute))))
			for _, t := range targets {
				if e.states[t] != signal.Unknown {
					e.say(t, watermark, signal.Unknown)
				}
			}
			for _, t := range targets {
				e.say(t, e.now, signal.Unknown, snapshot)
			}
			continue
		}
		t := targets[e.r.IntN(len(targets))]
		to := next[e.states[t]]
		e.say(t, e.now, to[e.r.IntN(len(to))])
	}
}

// oracle is the record that the signals of a target amount to: at each instant
// the state that was said last, by time and then seq.
func oracle(said []signal.Signal, target string) []report.Span {
	var mine []signal.Signal
	for _, s := range said {
		if s.Subject == signal.TargetSubject(target) {
			mine = append(mine, s)
		}
	}
	var spans []report.Span
	for len(mine) > 0 {
		instant := mine[0].Observed
		var last signal.State
		if len(spans) > 0 {
			last = spans[len(spans)-1].State
		}
		for i, s := range inInstant(last, mine, instant) {
			from := instant.Add(time.Duration(i))
			if len(spans) > 0 {
				spans[len(spans)-1].To = from
			}
			spans = append(spans, report.Span{From: from, State: s})
		}
		for len(mine) > 0 && mine[0].Observed.Equal(instant) {
			mine = mine[1:]
		}
	}
	return spans
}

// inInstant are the states that an instant leaves: the last one, and what was
// seen before blindness, if that differs from what was before.
func inInstant(before signal.State, said []signal.Signal, instant time.Time) []signal.State {
	states := []signal.State{before}
	for _, s := range said {
		if !s.Observed.Equal(instant) {
			break
		}
		body, err := s.Target()
		if err != nil {
			panic(err)
		}
		if n := len(states); n > 1 && body.State != signal.Unknown {
			states = states[:n-1]
		}
		if states[len(states)-1] != body.State {
			states = append(states, body.State)
		}
	}
	return states[1:]
}

// disturbed is the order in which the queue may deliver: some late, some twice.
func disturbed(r *rand.Rand, said []signal.Signal) []signal.Signal {
	type placed struct {
		at int
		s  signal.Signal
	}
	var all []placed
	for i, s := range said {
		for {
			late := 0
			if r.IntN(4) == 0 {
				late = r.IntN(30)
			}
			all = append(all, placed{i + late, s})
			if r.IntN(8) > 0 {
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.at - b.at })
	order := make([]signal.Signal, len(all))
	for i, p := range all {
		order[i] = p.s
	}
	return order
}

// TestModel: whatever the queue, the disk and restarts do, the record is what
// the exporter said.
func TestModel(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			e := &exporterModel{r: r, now: t0, seq: 1000, states: map[string]signal.State{}, last: map[string]time.Time{}}
			e.run(120)
			s := faulty{openStore(t, t.TempDir()), r}
			l := newRigOn(t, s, memory.New())
			for _, sig := range disturbed(r, e.said) {
				for err := l.try(sig); err != nil; { // the queue gives it again
					err = l.try(sig)
				}
				if r.IntN(40) == 0 {
					l = newRigOn(t, s, memory.New()) // a restart
				}
			}
			for _, target := range []string{"a", "b", "c"} {
				got := allSpans(t, l, target)
				want := oracle(e.said, target)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("record of %s (-want +got):\n%s", target, diff)
				}
				checkRecord(t, l, target, got, e.now)
			}
			journaled, err := l.Journal(t.Context(), JournalQuery{Limit: MaxLimit})
			if err != nil {
				t.Fatal(err)
			}
			if len(journaled.Items) != len(e.said) {
				t.Errorf("%d entries in the journal, %d signals", len(journaled.Items), len(e.said))
			}
		})
	}
}

// TestModelOfLapses: exporters that go silent and come back, at any time. What
// was true is known less exactly, but the record has no holes and no overlaps.
func TestModelOfLapses(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 4))
		e := &exporterModel{r: r, now: t0, seq: 1000, states: map[string]signal.State{}, last: map[string]time.Time{}}
		e.run(100)
		l := newRig(t)
		lease := uint64(0)
		watermark := t0
		for _, sig := range disturbed(r, e.said) {
			l.tell(sig)
			switch r.IntN(8) {
			case 0:
				l.silence()
			case 1, 2:
				lease++
				if l.clock.After(watermark) {
					watermark = l.clock
				}
				l.hear("a", lease, watermark)
			}
		}
		for _, target := range []string{"a", "b", "c"} {
			checkRecord(t, l, target, allSpans(t, l, target), l.clock)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func allSpans(t *testing.T, l *rig, target string) []report.Span {
	t.Helper()
	var spans []report.Span
	q := Query{Target: target, Limit: 7}
	for {
		page, err := l.Intervals(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			s := report.Span{From: i.From, State: i.State}
			if i.To != nil {
				s.To = *i.To
			}
			spans = append(spans, s)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			slices.Reverse(spans)
			return spans
		}
	}
}

// checkRecord holds what must always be true of the record of a target.
func checkRecord(t *testing.T, l *rig, target string, spans []report.Span, now time.Time) {
	t.Helper()
	for i, s := range spans {
		last := i == len(spans)-1
		switch {
		case last != s.To.IsZero():
			t.Errorf("%s: interval %d of %d: open %v", target, i, len(spans), s.To.IsZero())
		case last:
		case !s.From.Before(s.To):
			t.Errorf("%s: interval at %v has no length", target, s.From)
		case !s.To.Equal(spans[i+1].From):
			t.Errorf("%s: %v is followed by %v: a hole or an overlap", target, s.To, spans[i+1].From)
		case s.State == spans[i+1].State:
			t.Errorf("%s: %s twice in a row at %v", target, s.State, s.To)
		}
	}
	if now.Before(spans[len(spans)-1].From) {
		now = spans[len(spans)-1].From
	}
	l.clock = now
	totals := report.Sum(spans, spans[0].From, now)
	if totals.Elapsed() != now.Sub(spans[0].From) {
		t.Errorf("%s: lengths sum to %v, elapsed %v", target, totals.Elapsed(), now.Sub(spans[0].From))
	}
	compareAnswers(t, l, target, spans, totals)
}

// compareAnswers holds the answers that SQL helps to find against the plain
// arithmetic over the whole record.
func compareAnswers(t *testing.T, l *rig, target string, spans []report.Span, totals report.Totals) {
	t.Helper()
	got, err := l.Availability(t.Context(), AvailabilityQuery{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	a := got[0]
	want := []float64{totals.Up.Seconds(), totals.Down.Seconds(), totals.Unknown.Seconds(), totals.Undecided.Seconds()}
	if diff := cmp.Diff(want, []float64{a.Up, a.Down, a.Unknown, a.Undecided}); diff != "" {
		t.Errorf("%s: availability (-want +got):\n%s", target, diff)
	}
	type downtime struct {
		from, to time.Time
		end      string
		down     float64
	}
	var wantDown, gotDown []downtime
	for _, d := range report.Downtimes(spans, l.clock) {
		wantDown = append(wantDown, downtime{d.From, d.To, string(d.End), d.Down.Seconds()})
	}
	q := Query{Target: target, Limit: 2}
	for {
		page, err := l.Downtimes(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Items {
			found := downtime{from: d.From, end: d.End, down: d.Seconds}
			if d.To != nil {
				found.to = *d.To
			}
			gotDown = append(gotDown, found)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	slices.Reverse(gotDown)
	if diff := cmp.Diff(wantDown, gotDown, cmp.AllowUnexported(downtime{})); diff != "" {
		t.Errorf("%s: downtimes (-want +got):\n%s", target, diff)
	}
}
