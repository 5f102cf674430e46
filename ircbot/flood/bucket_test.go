package flood

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := Bucket{Burst: 4, Every: 1100 * time.Millisecond}
	for i := range 4 {
		if d := b.Wait(now); d != 0 {
			t.Fatalf("line %d waits %v", i, d)
		}
		b.Take(now, 1)
	}
	if d := b.Wait(now); d < 1100*time.Millisecond || d > 1102*time.Millisecond {
		t.Errorf("the fifth line waits %v", d)
	}
	if got := b.Within(now, 5*time.Second); got != 4 {
		t.Errorf("%d lines within 5 s, want 4", got)
	}
	if got := b.Most(5 * time.Second); got != 8 {
		t.Errorf("%d lines at most, want 8", got)
	}
	if d := b.Wait(now.Add(1101 * time.Millisecond)); d != 0 {
		t.Errorf("after the wait it waits %v more", d)
	}
	b.Take(now.Add(time.Hour), 1)
	if got := b.Within(now.Add(time.Hour), 0); got != 3 {
		t.Errorf("%d lines at once after a rest, want 3: a bucket holds no more than its burst", got)
	}
}

// In any minute, no more is said than the pace allows.
func TestBucketPace(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := Bucket{Burst: 4, Every: 1100 * time.Millisecond}
	said := 0
	for range 60_000 {
		now = now.Add(time.Millisecond)
		if b.Wait(now) == 0 {
			b.Take(now, 1)
			said++
		}
	}
	if said > 4+60*10/11+1 || said < 55 {
		t.Errorf("%d lines in a minute", said)
	}
}

func TestLagSlowsDown(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := Bucket{Burst: 1, Every: time.Second}
	b.Take(now, 1)
	for range 5 {
		b.Lag(now, 6*time.Second, time.Second, 5*time.Second)
	}
	if d := b.Wait(now); d < 4*time.Second || d > 4100*time.Millisecond {
		t.Errorf("a line waits %v, want 4 s: a quarter of the pace at the least", d)
	}
	for range 5 {
		b.Lag(now, 100*time.Millisecond, time.Second, 5*time.Second)
	}
	if d := b.Wait(now); d > 1100*time.Millisecond {
		t.Errorf("a line waits %v once the server answers quickly", d)
	}
}

func TestCost(t *testing.T) {
	if Cost(100) != 1 || Cost(560) != 2 {
		t.Errorf("100 bytes cost %v, 560 cost %v", Cost(100), Cost(560))
	}
}
