// Package conformance holds every engine to the queue's contract. An engine's
// own test calls Run with a function that opens an empty queue.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// hang is how long a delivery is waited for. It guards against a test that
// hangs and asserts no speed.
const hang = time.Minute

// What an engine on a broker may be unable to keep; the comment of its package
// says so then.
const (
	RetryHoldsBack = "exclusive: a retry holds back what is behind it"
	HandHoldsBack  = "exclusive: the hand of an earlier consumer holds back"
	SameKeyOnce    = "same key is the same message"
	OldestReady    = "the oldest that waits is known"
	RetryInPlace   = "what comes again keeps its place"
	CountsAtOnce   = "counts are exact at once"
	LooksAreFree   = "what is only looked at, or given back unseen, is never counted as an attempt"
)

// limited is an engine that does not keep everything.
type limited struct {
	queue.Queue
	without []string
}

// keeps reports whether the engine keeps a promise.
func keeps(q queue.Queue, promise string) bool {
	l, ok := q.(limited)
	return !ok || !slices.Contains(l.without, promise)
}

// Run runs the suite, but for the cases named. open returns an empty queue and
// closes it with the test.
func Run(t *testing.T, open func(t *testing.T) queue.Queue, without ...string) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, queue.Queue)
	}{
		{"publish and acknowledge", publishAndAck},
		{"every subscription gets its own", fanOut},
		{"nobody subscribed", noSubscription},
		{SameKeyOnce, sameKey},
		{OldestReady, oldestReady},
		{"order with one exclusive consumer", order},
		{"second exclusive consumer waits", exclusiveWaits},
		{"exclusive: a crash victim holds back what is behind it", crashHoldsBack},
		{RetryHoldsBack, retryHoldsBack},
		{HandHoldsBack, handHoldsBack},
		{"exclusive: a publisher's delay holds nothing back", notBeforePasses},
		{"retry raises the attempt", retryRaises},
		{"retry.After spends none", afterSpendsNone},
		{"delay is kept", delayKept},
		{"not before", notBefore},
		{"lost lease comes again", lostLease},
		{"crash victims are parked", crashLimit},
		{"crashes that do not count", crashesUncounted},
		{"extend", extend},
		{"park and redrive", parkAndRedrive},
		{"redrive by key", redriveByKey},
		{"full refuses all or none", refuses},
		{"full spills the oldest", spills},
		{"prefetch bounds the hand", prefetch},
		{"unreceived comes again unspent", unreceived},
		{"settle after the consumer ended", settleLate},
		{"declare again", declareAgain},
		{"peek", peek},
		{"closed", closed},
		{"handle", handle},
	} {
		if !slices.Contains(without, c.name) {
			t.Run(c.name, func(t *testing.T) { c.test(t, limited{open(t), without}) })
		}
	}
}

func declare(t *testing.T, q queue.Queue, subs ...queue.Subscription) {
	t.Helper()
	if err := q.Declare(t.Context(), subs...); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, q queue.Queue, topic string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		err := q.Publish(t.Context(), queue.Message{Topic: topic, Key: key, Headers: map[string]string{"h": key}, Body: []byte("body of " + key)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// consume returns the deliveries of a subscription, until stop or the test's
// end.
func consume(t *testing.T, q queue.Queue, sub string, o queue.Options) (deliveries <-chan queue.Delivery, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	deliveries, err := q.Consume(ctx, sub, o)
	if err != nil {
		t.Fatal(err)
	}
	return deliveries, func() {
		cancel()
		for range deliveries { // it closes
		}
	}
}

func next(t *testing.T, deliveries <-chan queue.Delivery) queue.Delivery {
	t.Helper()
	select {
	case d, ok := <-deliveries:
		if !ok {
			t.Fatal("the channel was closed")
		}
		return d
	case <-time.After(hang):
		t.Fatal("nothing was delivered")
	}
	return queue.Delivery{}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ack(t *testing.T, d queue.Delivery) {
	t.Helper()
	must(t, d.Ack(t.Context()))
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// stats of one subscription.
func stats(t *testing.T, q queue.Queue, name string) queue.Stats {
	t.Helper()
	all, err := q.Stats(t.Context())
	must(t, err)
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no stats of %s", name)
	return queue.Stats{}
}

type depth struct{ Ready, Delayed, Leased, Parked, Spilled int }

func wantDepth(t *testing.T, q queue.Queue, name string, want depth) {
	t.Helper()
	begin := time.Now()
	for {
		s := stats(t, q, name)
		got := depth{s.Ready, s.Delayed, s.Leased, s.Parked, s.Spilled}
		if got == want {
			return
		}
		if keeps(q, CountsAtOnce) || time.Since(begin) > hang {
			t.Fatalf("%s holds %+v, want %+v", name, got, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func keys(t *testing.T, q queue.Queue, state queue.State) (keys []string) {
	t.Helper()
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{State: state, Limit: 10_000})
	must(t, err)
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}

func wantKeys(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("keys (-want +got):\n%s", diff)
	}
}

func publishAndAck(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	wantDepth(t, q, "a1", depth{Ready: 1})
	in, _ := consume(t, q, "a1", queue.Options{})
	d := next(t, in)
	if d.Key != "k1" || string(d.Body) != "body of k1" || d.Headers["h"] != "k1" || d.Topic != "a" || d.Subscription != "a1" {
		t.Fatalf("got %+v", d)
	}
	if d.Attempt != 1 || time.Since(d.FirstSeen) > hang {
		t.Fatalf("attempt %d, first seen %v", d.Attempt, d.FirstSeen)
	}
	wantDepth(t, q, "a1", depth{Leased: 1})
	ack(t, d)
	wantDepth(t, q, "a1", depth{})
	wantErr(t, d.Ack(t.Context()), queue.ErrLost)
}

func oldestReady(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	if s := stats(t, q, "a1"); s.OldestReady.IsZero() || time.Since(s.OldestReady) > hang {
		t.Fatalf("oldest ready is %v", s.OldestReady)
	}
}

func fanOut(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"}, queue.Subscription{Topic: "a", Name: "a2"}, queue.Subscription{Topic: "b", Name: "b1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{})
	ack(t, next(t, in))
	wantDepth(t, q, "a1", depth{})
	wantDepth(t, q, "a2", depth{Ready: 1})
	wantDepth(t, q, "b1", depth{})
	in, _ = consume(t, q, "a2", queue.Options{})
	if d := next(t, in); string(d.Body) != "body of k1" {
		t.Fatalf("got %q", d.Body)
	}
}

func noSubscription(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	wantErr(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "1"}, queue.Message{Topic: "x", Key: "2"}), queue.ErrNoSubscription)
	wantDepth(t, q, "a1", depth{})
	_, err := q.Consume(t.Context(), "x", queue.Options{})
	wantErr(t, err, queue.ErrNoSubscription)
	_, err = q.Peek(t.Context(), "x", queue.Filter{})
	wantErr(t, err, queue.ErrNoSubscription)
	_, err = q.Redrive(t.Context(), "x")
	wantErr(t, err, queue.ErrNoSubscription)
}

// sameKey: a publisher that does not know the outcome publishes again.
func sameKey(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"}, queue.Subscription{Topic: "b", Name: "b1"})
	publish(t, q, "a", "k1", "k1")
	must(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k2"}, queue.Message{Topic: "a", Key: "k2"}))
	publish(t, q, "b", "k1")
	wantDepth(t, q, "a1", depth{Ready: 2})
	wantDepth(t, q, "b1", depth{Ready: 1})
	publish(t, q, "a", "", "")
	wantDepth(t, q, "a1", depth{Ready: 4})
}

func order(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	var want, got []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
	}
	publish(t, q, "a", want[:25]...)
	in, _ := consume(t, q, "a1", queue.Options{Exclusive: true, Prefetch: 7})
	publish(t, q, "a", want[25:]...)
	for range want {
		d := next(t, in)
		got = append(got, d.Key)
		ack(t, d)
	}
	wantKeys(t, got, want...)
}

func exclusiveWaits(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	first, stop := consume(t, q, "a1", queue.Options{Exclusive: true})
	second, _ := consume(t, q, "a1", queue.Options{Exclusive: true})
	publish(t, q, "a", "k1", "k2")
	d := next(t, first)
	select {
	case d := <-second:
		t.Fatalf("the second consumer got %s", d.Key)
	case <-time.After(50 * time.Millisecond):
	}
	ack(t, d)
	stop()
	if d := next(t, second); d.Key != "k2" {
		t.Fatalf("got %s", d.Key)
	}
}

func retryRaises(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{})
	for attempt := 1; attempt <= 8; attempt++ { // more often than a crash may
		d := next(t, in)
		if d.Attempt != attempt {
			t.Fatalf("attempt %d, want %d", d.Attempt, attempt)
		}
		must(t, d.RetryAfter(t.Context(), 0, errors.New("not now")))
		wantErr(t, d.Ack(t.Context()), queue.ErrLost)
	}
}

func afterSpendsNone(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{})
	for range 3 {
		d := next(t, in)
		if d.Attempt != 1 {
			t.Fatalf("attempt %d, want 1", d.Attempt)
		}
		must(t, d.RetryAfter(t.Context(), 0, retry.After(0, errors.New("asked for patience"))))
	}
}

func delayKept(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1", "k2")
	in, _ := consume(t, q, "a1", queue.Options{})
	const delay = 100 * time.Millisecond
	begin := time.Now()
	must(t, next(t, in).RetryAfter(t.Context(), delay, errors.New("not now")))
	ack(t, next(t, in)) // the other one does not wait
	d := next(t, in)
	if waited := time.Since(begin); d.Key != "k1" || waited < delay {
		t.Fatalf("%s came after %v, want k1 after %v", d.Key, waited, delay)
	}
	must(t, d.RetryAfter(t.Context(), time.Hour, errors.New("later")))
	wantDepth(t, q, "a1", depth{Delayed: 1})
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{State: queue.Delayed})
	must(t, err)
	if e := entries[0]; e.Cause != "later" || e.Attempt != 2 || time.Until(e.Due) < 50*time.Minute || time.Until(e.Due) > 61*time.Minute {
		t.Fatalf("got %+v", e)
	}
}

func notBefore(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	due := time.Now().Add(100 * time.Millisecond)
	must(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k1", NotBefore: due}, queue.Message{Topic: "a", Key: "k2", NotBefore: time.Now().Add(-time.Hour)}))
	in, _ := consume(t, q, "a1", queue.Options{})
	d := next(t, in)
	if d.Key != "k2" {
		t.Fatalf("%s came first", d.Key)
	}
	ack(t, d)
	if d := next(t, in); d.Key != "k1" || time.Now().Before(due.Add(-time.Millisecond)) || d.Attempt != 1 {
		t.Fatalf("%s came %v before its time", d.Key, time.Until(due))
	}
}

func lostLease(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{Lease: 50 * time.Millisecond})
	first := next(t, in)
	again := next(t, in)
	if again.Key != "k1" || again.Attempt != 2 {
		t.Fatalf("got %s, attempt %d", again.Key, again.Attempt)
	}
	wantErr(t, first.Ack(t.Context()), queue.ErrLost)
	wantErr(t, first.Extend(t.Context(), time.Minute), queue.ErrLost)
	wantErr(t, first.Park(t.Context(), nil), queue.ErrLost)
	wantErr(t, first.RetryAfter(t.Context(), 0, nil), queue.ErrLost)
	ack(t, again)
	wantDepth(t, q, "a1", depth{})
}

// crashLimit: what kills its consumer is parked with a cause, others flow.
func crashLimit(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", CrashLimit: 2})
	publish(t, q, "a", "poison", "good1", "good2")
	in, _ := consume(t, q, "a1", queue.Options{Lease: 50 * time.Millisecond, Prefetch: 3})
	acked := map[string]bool{}
	for len(acked) < 2 {
		if d := next(t, in); d.Key != "poison" && d.Ack(t.Context()) == nil {
			acked[d.Key] = true
		}
	}
	waitFor(t, func() bool {
		select {
		case d := <-in:
			if d.Key != "poison" {
				t.Errorf("got %s again", d.Key)
			}
		default:
		}
		return stats(t, q, "a1").Parked == 1
	})
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{State: queue.Parked})
	must(t, err)
	if len(entries) != 1 || entries[0].Key != "poison" || entries[0].Cause == "" {
		t.Fatalf("parked %+v", entries)
	}
}

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > hang {
			t.Fatal("it did not happen")
		}
	}
}

func extend(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{Lease: 200 * time.Millisecond})
	d := next(t, in)
	must(t, d.Extend(t.Context(), time.Hour))
	select {
	case d := <-in:
		t.Fatalf("%s came again, attempt %d", d.Key, d.Attempt)
	case <-time.After(400 * time.Millisecond):
	}
	ack(t, d)
}
