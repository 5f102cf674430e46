package schedule_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/exporters/schedule"
)

// bench is a schedule that runs inside a synctest bubble, and what it did.
type bench struct {
	*schedule.Schedule
	registry *prometheus.Registry

	mu   sync.Mutex
	runs map[string][]time.Time
	now  map[string]int // running, by host
	most map[string]int // ever running at once, by host; "" is all
	stop func()
}

func start(t *testing.T, o schedule.Options) *bench {
	t.Helper()
	b := &bench{
		registry: prometheus.NewRegistry(), runs: map[string][]time.Time{},
		now: map[string]int{}, most: map[string]int{},
	}
	o.Registry = b.registry
	b.Schedule = schedule.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	b.stop = func() { cancel(); <-ended }
	return b
}

// job runs for a while each time, at once when the while is 0.
func (b *bench) job(name, host string, every, takes time.Duration) schedule.Job {
	return schedule.Job{Name: name, Host: host, Every: every, Run: func(ctx context.Context) {
		b.begin(name, host)
		defer b.end(host)
		if takes == 0 {
			return
		}
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}}
}

func (b *bench) begin(name, host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[name] = append(b.runs[name], time.Now())
	for _, key := range []string{"", host} {
		b.now[key]++
		b.most[key] = max(b.most[key], b.now[key])
	}
}

func (b *bench) end(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now[""]--
	b.now[host]--
}

// peak is how many ever ran at once for a host; "" is all.
func (b *bench) peak(host string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most[host]
}

func (b *bench) of(name string) []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.runs[name])
}

func (b *bench) value(t *testing.T, name string) float64 {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func set(t *testing.T, b *bench, jobs ...schedule.Job) {
	t.Helper()
	if err := b.Set(jobs); err != nil {
		t.Fatal(err)
	}
}

func TestNoDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{})
		defer b.stop()
		set(t, b, b.job("a", "", 15*time.Second, 3*time.Second))
		time.Sleep(time.Hour)
		runs := b.of("a")
		if n := len(runs); n < 239 || n > 242 {
			t.Fatalf("%d runs in an hour, want about 240", n)
		}
		for i := 2; i < len(runs); i++ {
			if d := runs[i].Sub(runs[i-1]); d != 15*time.Second {
				t.Fatalf("run %d came after %s", i, d)
			}
		}
		if got := b.value(t, "collie_schedule_skipped_total"); got != 0 {
			t.Errorf("%v runs skipped", got)
		}
	})
}

// The place in the interval is the same after a restart.
func TestPhaseIsKeptOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var phases []time.Duration
		for range 3 {
			b := start(t, schedule.Options{})
			set(t, b, b.job("a", "", time.Minute, 0))
			time.Sleep(10*time.Minute + 7*time.Second)
			runs := b.of("a")
			last := runs[len(runs)-1]
			phases = append(phases, time.Duration(last.UnixNano()%int64(time.Minute)))
			b.stop()
		}
		if phases[0] != phases[1] || phases[1] != phases[2] {
			t.Errorf("phases %v differ", phases)
		}
	})
}

func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{Concurrency: 1000, PerHost: 1000})
		defer b.stop()
		jobs := make([]schedule.Job, 3000)
		for i := range jobs {
			jobs[i] = b.job(fmt.Sprintf("target-%04d", i), "", 15*time.Second, 0)
		}
		began := time.Now()
		set(t, b, jobs...)
		time.Sleep(time.Minute)
		first, perSecond := map[int]int{}, map[int]int{}
		for _, j := range jobs {
			for i, at := range b.of(j.Name) {
				if i == 0 {
					first[int(at.Sub(began)/time.Second)]++
				}
				perSecond[int(at.Sub(began)/time.Second)]++
			}
		}
		// 3,000 first runs within 1 s + 3000/500 s = 7 s, then 200 a second.
		if len(first) != 7 {
			t.Errorf("first runs fall into seconds %v, want seven", first)
		}
		for s := 25; s < 59; s++ {
			if n := perSecond[s]; n < 120 || n > 280 {
				t.Errorf("%d runs in second %d, want about 200", n, s)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{Concurrency: 10, PerHost: 3})
		defer b.stop()
		var jobs []schedule.Job
		for i := range 60 {
			jobs = append(jobs, b.job(fmt.Sprintf("j%d", i), fmt.Sprintf("host%d", i%6), 10*time.Second, 2*time.Second))
		}
		set(t, b, jobs...)
		time.Sleep(5 * time.Minute)
		if n := b.peak(""); n != 10 {
			t.Errorf("%d ran at once, want 10", n)
		}
		for i := range 6 {
			if n := b.peak(fmt.Sprintf("host%d", i)); n > 3 {
				t.Errorf("%d ran at once for host%d, want at most 3", n, i)
			}
		}
		// 60 jobs of 2 s in 10 places need 12 s: some runs of each are left out,
		// none starves.
		for _, j := range jobs {
			if n := len(b.of(j.Name)); n < 15 {
				t.Errorf("%s ran %d times in 5 minutes", j.Name, n)
			}
		}
		if b.value(t, "collie_schedule_skipped_total") == 0 {
			t.Error("more work than places, but nothing was skipped")
		}
	})
}

// A host that hangs must not hold up others.
func TestHangingHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{Concurrency: 8, PerHost: 2})
		defer b.stop()
		var jobs []schedule.Job
		for i := range 50 {
			jobs = append(jobs, b.job(fmt.Sprintf("bad%d", i), "bad", 10*time.Second, 9*time.Second))
		}
		jobs = append(jobs, b.job("good", "good", 10*time.Second, time.Second))
		set(t, b, jobs...)
		time.Sleep(10 * time.Minute)
		if n := len(b.of("good")); n < 59 {
			t.Errorf("the good host was looked at %d times in 10 minutes, want 60", n)
		}
	})
}

func TestSkippedRunsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{})
		defer b.stop()
		set(t, b, b.job("slow", "", time.Second, 2500*time.Millisecond))
		time.Sleep(30*time.Second + time.Millisecond)
		runs := float64(len(b.of("slow")))
		skipped := b.value(t, "collie_schedule_skipped_total")
		if skipped == 0 || runs+skipped < 29 || runs+skipped > 32 {
			t.Errorf("%v runs and %v skipped in 30 s", runs, skipped)
		}
	})
}

func TestSetKeepsPhasesAndCancelsTheRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{})
		defer b.stop()
		keep, leave := b.job("keep", "", 20*time.Second, 0), b.job("leave", "", 20*time.Second, time.Hour)
		set(t, b, keep, leave)
		time.Sleep(5 * time.Minute)
		before := b.of("keep")
		if got := b.value(t, "collie_schedule_running"); got != 1 {
			t.Fatalf("%v running, want the long one", got)
		}
		set(t, b, keep, b.job("new", "", time.Minute, 0))
		synctest.Wait()
		if got := b.value(t, "collie_schedule_running"); got != 0 {
			t.Errorf("%v running after the long one was removed", got)
		}
		time.Sleep(5 * time.Minute)
		after := b.of("keep")
		if d := after[len(before)].Sub(before[len(before)-1]); d != 20*time.Second {
			t.Errorf("the run after Set came after %s", d)
		}
		if n := len(b.of("leave")); n != 1 {
			t.Errorf("the removed job ran %d times", n)
		}
		if len(b.of("new")) < 5 {
			t.Errorf("the new job ran %d times", len(b.of("new")))
		}
		if got := b.value(t, "collie_schedule_jobs"); got != 2 {
			t.Errorf("%v jobs", got)
		}
	})
}

func TestSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{})
		defer b.stop()
		set(t, b, b.job("rare", "", time.Hour, 0), b.job("long", "", time.Hour, 10*time.Minute))
		time.Sleep(5 * time.Minute)
		if len(b.of("rare")) != 1 || len(b.of("long")) != 1 {
			t.Fatalf("first runs: %v, %v", b.of("rare"), b.of("long"))
		}
		b.Soon()
		time.Sleep(5 * time.Second)
		if n := len(b.of("rare")); n != 2 {
			t.Errorf("rare ran %d times, want once more", n)
		}
		time.Sleep(6 * time.Minute)
		if n := len(b.of("long")); n != 2 {
			t.Errorf("the job that ran at Soon ran %d times, want again once it ended", n)
		}
	})
}

func TestStopCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{Concurrency: 1})
		set(t, b, b.job("a", "", time.Minute, time.Hour), b.job("b", "", time.Minute, time.Hour))
		time.Sleep(2 * time.Minute)
		before := time.Now()
		b.stop()
		if d := time.Since(before); d != 0 {
			t.Errorf("stopping took %s", d)
		}
	})
}

func TestRandomReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(3, 3))
		b := start(t, schedule.Options{Concurrency: 4, PerHost: 2})
		for range 200 {
			var jobs []schedule.Job
			for i := range 20 {
				if rnd.IntN(2) == 0 {
					every := time.Duration(1+rnd.IntN(3)) * time.Second
					takes := time.Duration(rnd.IntN(1500)) * time.Millisecond
					jobs = append(jobs, b.job(fmt.Sprint("j", i), fmt.Sprint("h", i%3), every, takes))
				}
			}
			set(t, b, jobs...)
			if rnd.IntN(5) == 0 {
				b.Soon()
			}
			time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
		}
		set(t, b)
		time.Sleep(time.Minute)
		if s := b.Stats(); s != (schedule.Stats{}) {
			t.Errorf("after all jobs were removed: %+v", s)
		}
		if all, one := b.peak(""), b.peak("h0"); all > 4 || one > 2 {
			t.Errorf("%d ran at once, %d for one host", all, one)
		}
		b.stop()
	})
}

func TestSetLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, schedule.Options{Concurrency: 20, PerHost: 1})
		defer b.stop()
		var jobs []schedule.Job
		for i := range 40 {
			jobs = append(jobs, b.job(fmt.Sprint("j", i), fmt.Sprint("h", i%2), 10*time.Second, 9*time.Second))
		}
		set(t, b, jobs...)
		for _, want := range []struct{ all, perHost int }{{20, 1}, {20, 8}, {5, 8}, {30, 8}} {
			b.SetLimits(want.all, want.perHost)
			time.Sleep(time.Minute)
			b.mu.Lock()
			clear(b.most)
			b.mu.Unlock()
			time.Sleep(time.Minute)
			if n, most := b.peak(""), min(want.all, 2*want.perHost); n != most {
				t.Errorf("with %+v %d ran at once, want %d", want, n, most)
			}
		}
	})
}

func TestSetRefusesNonsense(t *testing.T) {
	s := schedule.New(schedule.Options{Registry: prometheus.NewRegistry()})
	if err := s.Set([]schedule.Job{{Name: "a", Every: 0, Run: func(context.Context) {}}}); err == nil {
		t.Error("an interval of 0 is accepted")
	}
}

func TestMetricsLint(t *testing.T) {
	r := prometheus.NewRegistry()
	schedule.New(schedule.Options{Registry: r})
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
