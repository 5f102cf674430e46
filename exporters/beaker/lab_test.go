package beaker

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// beginning is a time to count from; labs are told the time.
var beginning = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var loopback = netip.MustParseAddr("127.0.0.1")

// told is a lab to which lines without prefix were said, each at a time.
func told(t *testing.T, l *lab, at time.Time, lines ...string) {
	t.Helper()
	for _, text := range lines {
		x, err := parseLine([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		l.take(loopback, x.name, x, at)
	}
}

func small(maxSeries int) *lab {
	l := newLab(beginning)
	l.maxSeries = maxSeries
	return l
}

// values are the series of a snapshot by a short name.
func values(s snapshot) map[string]float64 {
	all := map[string]float64{}
	for k, v := range s.held {
		all[strings.Trim(strings.TrimPrefix(k.family.name, "probe_beaker_")+" "+k.a.value+" "+k.b.value, " ")] = v.value
	}
	return all
}

func TestALaterGaugeIsKept(t *testing.T) {
	l := small(10)
	told(t, l, beginning, "gauges.dirty_jobs 1 100", "gauges.dirty_jobs 3 103", "gauges.dirty_jobs 2 102", "gauges.dirty_jobs 3 103", "gauges.dirty_jobs 4 -1")
	s := l.look(beginning, time.Minute)
	if diff := cmp.Diff(map[string]float64{"dirty_jobs": 4}, values(s)); diff != "" || s.counts.late != 1 || s.counts.taken != 4 {
		t.Errorf("%+v\n%s", s.counts, diff)
	}
}

func TestCountersAreSummed(t *testing.T) {
	l := small(10)
	told(t, l, beginning, "counters.recipes_completed 1 100", "counters.recipes_completed 1 100", "counters.recipes_completed 2 99",
		"counters.system_commands_failed.by_lab.a 1 100")
	s := l.look(beginning.Add(time.Hour), time.Minute)
	want := map[string]float64{"recipes_ended_total completed": 4, "system_commands_ended_by_lab_total failed a": 1}
	if diff := cmp.Diff(want, values(s)); diff != "" || s.receiving {
		t.Errorf("receiving %v\n%s", s.receiving, diff)
	}
}

// Each gauge goes when it is not told again; nothing is received when none is.
func TestSilence(t *testing.T) {
	l := small(10)
	told(t, l, beginning, "gauges.dirty_jobs 1 100", "gauges.recipes_queued.by_arch.x86_64 5 100")
	told(t, l, beginning.Add(80*time.Second), "gauges.dirty_jobs 2 180")
	s := l.look(beginning.Add(89*time.Second), 90*time.Second)
	if len(s.held) != 2 || !s.receiving {
		t.Errorf("after 89 s: %v", values(s))
	}
	s = l.look(beginning.Add(90*time.Second), 90*time.Second)
	if diff := cmp.Diff(map[string]float64{"dirty_jobs": 2}, values(s)); diff != "" || !s.receiving || l.grouped != 0 {
		t.Errorf("after 90 s: receiving %v, %d grouped\n%s", s.receiving, l.grouped, diff)
	}
	if s = l.look(beginning.Add(170*time.Second), 90*time.Second); len(s.held) != 0 || s.receiving {
		t.Errorf("after 170 s: %v, receiving %v", values(s), s.receiving)
	}
	told(t, l, beginning.Add(200*time.Second), "gauges.dirty_jobs 9 50") // its clock was set back
	if s = l.look(beginning.Add(201*time.Second), 90*time.Second); values(s)["dirty_jobs"] != 9 {
		t.Errorf("after the silence: %v", values(s))
	}
}

// However many names come, what is kept stays bounded.
func TestNamesAreBounded(t *testing.T) {
	l := small(100)
	for i := range 20_000 {
		told(t, l, beginning, fmt.Sprintf("gauges.systems_manual.by_lab.lab%d 1 100", i), fmt.Sprintf("gauges.made_up_%d 1 100", i),
			fmt.Sprintf("counters.system_commands_failed.by_power_type.p%d 1 100", i))
	}
	told(t, l, beginning, "gauges.dirty_jobs 1 100", "gauges.systems_manual.by_lab.lab0 7 101")
	s := l.look(beginning, time.Minute)
	if len(s.held) != 101 || s.counts.overBudget != 40_000-100 || s.counts.unknown != 20_000 {
		t.Errorf("%d are held, %+v", len(s.held), s.counts)
	}
	if got := values(s)["systems_by_lab manual lab0"]; got != 7 {
		t.Errorf("what was known is %v", got)
	}
}

func TestSenders(t *testing.T) {
	l := small(10)
	l.senders = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	x, _ := parseLine([]byte("gauges.dirty_jobs 1 100"))
	l.take(loopback, x.name, x, beginning)
	if s := l.look(beginning, time.Minute); len(s.held) != 0 || s.counts.refused != 1 {
		t.Errorf("%v, %+v", values(s), s.counts)
	}
	l.take(netip.MustParseAddr("192.0.2.9"), x.name, x, beginning)
	if s := l.look(beginning, time.Minute); len(s.held) != 1 {
		t.Errorf("%v, %+v", values(s), s.counts)
	}
}
