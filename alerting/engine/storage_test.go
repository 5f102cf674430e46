package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

func openTest(t *testing.T, low func() bool) *Storage {
	t.Helper()
	s := OpenStorage(t.TempDir(), Retention{Time: time.Hour}, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), low)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func appendOne(t *testing.T, s *Storage, ref storage.SeriesRef, ls labels.Labels, at time.Time, v float64) storage.SeriesRef {
	t.Helper()
	app := s.Appender(t.Context())
	ref, err := app.Append(ref, ls, at.UnixMilli(), v)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return ref
}

func eval(t *testing.T, s *Storage, expr string, at time.Time) string {
	t.Helper()
	e := promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: time.Minute})
	q, err := e.NewInstantQuery(t.Context(), s, nil, expr, at)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	return q.Exec(t.Context()).String()
}

// Samples go round by memory and back to the disk, and queries see one series
// all the time. A reference from before the database was opened anew does not
// hit another series.
func TestStorageGoesAsideAndBack(t *testing.T) {
	low := false
	s := openTest(t, func() bool { return low })
	a, b := labels.FromStrings("__name__", "m", "s", "a"), labels.FromStrings("__name__", "m", "s", "b")
	start := time.Now().Add(-time.Minute).Truncate(time.Second)
	refA := appendOne(t, s, 0, a, start, 1)
	refB := appendOne(t, s, 0, b, start, 10)

	low = true
	s.Look(t.Context())
	if !s.Aside() {
		t.Fatal("samples still go to the disk")
	}
	appendOne(t, s, refA, a, start.Add(10*time.Second), 2)
	appendOne(t, s, 0, labels.FromStrings("__name__", "m", "s", "c"), start.Add(10*time.Second), 7)
	if got, want := eval(t, s, `sum_over_time(m{s="a"}[1m])`, start.Add(10*time.Second)), fmt.Sprintf(`{s="a"} => 3 @[%d]`, start.Add(10*time.Second).UnixMilli()); got != want {
		t.Errorf("while aside: %s, want %s", got, want)
	}

	low = false
	s.Look(t.Context())
	if s.Aside() {
		t.Fatal("samples still go to memory")
	}
	// The first series after the opening gets the first number again.
	refB2 := appendOne(t, s, refB, b, start.Add(20*time.Second), 20)
	appendOne(t, s, refA, a, start.Add(20*time.Second), 3)
	if refB2 == refB {
		t.Error("a reference of the closed database was used")
	}
	at := start.Add(20 * time.Second)
	for name, want := range map[string]int{"a": 6, "b": 30, "c": 7} {
		got := eval(t, s, `sum_over_time(m{s="`+name+`"}[1m])`, at)
		if want := fmt.Sprintf(`{s=%q} => %d @[%d]`, name, want, at.UnixMilli()); got != want {
			t.Errorf("afterwards: %s, want %s", got, want)
		}
	}
}

// Who reads or writes while the database is opened anew waits for no longer than
// that, and the opening for them.
func TestReopenWaitsForQueries(t *testing.T) {
	low := true
	s := openTest(t, func() bool { return low })
	q, err := s.Querier(0, time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	low = false
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s.Look(ctx)
	if !s.Aside() {
		t.Fatal("the database was closed under a query")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	s.Look(t.Context())
	if s.Aside() {
		t.Fatal("the database was not opened anew")
	}
}

func TestDatabaseThatCannotBeOpenedLeavesMemory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/tsdb", nil, 0o600); err != nil { // a file where the folder belongs
		t.Fatal(err)
	}
	s := OpenStorage(dir, Retention{Time: time.Hour}, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), func() bool { return false })
	now := time.Now()
	appendOne(t, s, 0, labels.FromStrings("__name__", "m"), now, 4)
	if got, want := eval(t, s, `m + 0`, now), fmt.Sprintf(`{} => 4 @[%d]`, now.UnixMilli()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := os.Remove(dir + "/tsdb"); err != nil {
		t.Fatal(err)
	}
	s.Look(t.Context())
	if s.Aside() {
		t.Fatal("samples still go to memory")
	}
	if got, want := eval(t, s, `m + 0`, now), fmt.Sprintf(`{} => 4 @[%d]`, now.UnixMilli()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRAMIsBounded(t *testing.T) {
	r := newRAM()
	ls := labels.FromStrings("__name__", "m")
	for i := range int64(ramAge/1000 + 100) {
		r.add([]batchSample{{ls, sample{i * 1000, 1}}})
	}
	r.prune()
	if r.count != ramAge/1000+1 {
		t.Errorf("%d samples after %d s", r.count, ramAge/1000+100)
	}
	if dropped := r.add([]batchSample{{ls, sample{5, 1}}}); dropped != 1 {
		t.Errorf("a sample out of order: %d dropped", dropped)
	}
	r.count = ramSamples + 10
	if dropped := r.add([]batchSample{{ls, sample{r.newest + 1, 1}}}); dropped != 1 {
		t.Errorf("beyond the bound: %d dropped", dropped)
	}
}
