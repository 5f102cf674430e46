package conformance

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// quiet is how long nothing may come. It proves little, but breaks no test on a
// slow machine.
const quiet = 50 * time.Millisecond

func nothing(t *testing.T, in <-chan queue.Delivery) {
	t.Helper()
	select {
	case d := <-in:
		t.Fatalf("%s came, attempt %d", d.Key, d.Attempt)
	case <-time.After(quiet):
	}
}

// crashHoldsBack: what kills its consumer again and again comes later and later,
// and what was published after it waits until it is parked.
func crashHoldsBack(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", CrashLimit: 3})
	publish(t, q, "a", "poison", "good1", "good2")
	in, _ := consume(t, q, "a1", queue.Options{Exclusive: true, Lease: 300 * time.Millisecond})
	var seen []string
	for settled := 0; settled < 2; {
		d := next(t, in)
		if seen = append(seen, d.Key); d.Key == "poison" {
			continue // as if this process died
		}
		err := d.Ack(t.Context())
		if err == nil {
			settled++
		} else if !errors.Is(err, queue.ErrLost) {
			t.Fatal(err)
		}
	}
	if n := len(seen); n < 5 || slices.Contains(seen[3:], "poison") {
		t.Fatalf("delivered %v, want poison three times before all else", seen)
	}
	wantKeys(t, slices.Compact(seen), "poison", "good1", "good2")
	wantKeys(t, keys(t, q, queue.Parked), "poison")
}

func retryHoldsBack(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1", "k2", "k3")
	in, stop := consume(t, q, "a1", queue.Options{Exclusive: true})
	must(t, next(t, in).RetryAfter(t.Context(), 2*quiet, errors.New("not now")))
	d := next(t, in)
	if d.Key != "k1" || d.Attempt != 2 {
		t.Fatalf("%s came, attempt %d, want k1 again", d.Key, d.Attempt)
	}
	must(t, d.Park(t.Context(), errors.New("never"))) // lets the others pass
	d = next(t, in)
	must(t, d.RetryAfter(t.Context(), time.Hour, errors.New("later")))
	nothing(t, in)
	wantDepth(t, q, "a1", depth{Ready: 1, Delayed: 1, Parked: 1})
	stop()
	in, _ = consume(t, q, "a1", queue.Options{}) // order is not asked for
	if d := next(t, in); d.Key != "k3" {
		t.Fatalf("got %s, want k3", d.Key)
	}
}

// handHoldsBack: one that ended may still settle, and until then what it holds
// is not passed.
func handHoldsBack(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1", "k2")
	in, stop := consume(t, q, "a1", queue.Options{Exclusive: true})
	d := next(t, in)
	stop()
	in, _ = consume(t, q, "a1", queue.Options{Exclusive: true})
	nothing(t, in)
	ack(t, d)
	if d := next(t, in); d.Key != "k2" {
		t.Fatalf("got %s, want k2", d.Key)
	}
}

func notBeforePasses(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	must(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k1", NotBefore: time.Now().Add(time.Hour)}, queue.Message{Topic: "a", Key: "k2"}))
	in, _ := consume(t, q, "a1", queue.Options{Exclusive: true})
	if d := next(t, in); d.Key != "k2" {
		t.Fatalf("got %s, want k2", d.Key)
	}
}
