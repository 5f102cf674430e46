package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// crashesUncounted: of a relay, a lost lease says nothing of the message.
func crashesUncounted(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", CrashLimit: -1})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{Lease: 20 * time.Millisecond, Exclusive: true})
	for range 8 { // delays that grow would take hours
		if d := next(t, in); d.Key != "k1" {
			t.Fatalf("got %s", d.Key)
		}
	}
	if n := stats(t, q, "a1").Parked; n != 0 {
		t.Fatalf("%d parked", n)
	}
}

func parkAndRedrive(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{})
	must(t, next(t, in).RetryAfter(t.Context(), 0, errors.New("first")))
	must(t, next(t, in).Park(t.Context(), errors.New("nobody can do this")))
	wantDepth(t, q, "a1", depth{Parked: 1})
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{State: queue.Parked})
	must(t, err)
	if e := entries[0]; e.Cause != "nobody can do this" || e.Attempt != 2 || string(e.Body) != "body of k1" {
		t.Fatalf("got %+v", e)
	}
	n, err := q.Redrive(t.Context(), "a1")
	must(t, err)
	if d := next(t, in); n != 1 || d.Attempt != 1 || d.Key != "k1" {
		t.Fatalf("redrove %d: %s, attempt %d", n, d.Key, d.Attempt)
	}
}

func redriveByKey(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1", "k2", "k3")
	in, stop := consume(t, q, "a1", queue.Options{})
	for range 3 {
		must(t, next(t, in).Park(t.Context(), errors.New("no")))
	}
	stop()
	n, err := q.Redrive(t.Context(), "a1", "k3", "k1", "unknown")
	must(t, err)
	if n != 2 {
		t.Fatalf("redrove %d, want 2", n)
	}
	wantKeys(t, keys(t, q, queue.Ready), "k1", "k3")
	wantKeys(t, keys(t, q, queue.Parked), "k2")
	wantKeys(t, keys(t, q, ""), "k1", "k2", "k3")
}

func refuses(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", Limit: 2}, queue.Subscription{Topic: "a", Name: "a2"})
	publish(t, q, "a", "k1")
	wantErr(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k2"}, queue.Message{Topic: "a", Key: "k3"}), queue.ErrFull)
	wantDepth(t, q, "a1", depth{Ready: 1})
	wantDepth(t, q, "a2", depth{Ready: 1})
	publish(t, q, "a", "k2")
	wantErr(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k3"}), queue.ErrFull)
	if keeps(q, SameKeyOnce) {
		publish(t, q, "a", "k2") // stored already
	}

	in, _ := consume(t, q, "a1", queue.Options{})
	d := next(t, in) // in the hand counts as waiting
	wantErr(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k3"}), queue.ErrFull)
	must(t, d.Park(t.Context(), errors.New("no"))) // parked does not
	publish(t, q, "a", "k3")
}

func spills(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", Limit: 2, OnFull: queue.Spill}, queue.Subscription{Topic: "a", Name: "a2"})
	publish(t, q, "a", "k1", "k2", "k3", "k4")
	wantDepth(t, q, "a1", depth{Ready: 2, Spilled: 2})
	wantDepth(t, q, "a2", depth{Ready: 4})
	wantKeys(t, keys(t, q, queue.Spilled), "k1", "k2")
	publish(t, q, "a", "k5") // what is set aside is bounded too
	wantKeys(t, keys(t, q, queue.Spilled), "k2", "k3")
	n, err := q.Redrive(t.Context(), "a1", "k2")
	must(t, err)
	if n != 1 {
		t.Fatalf("redrove %d, want 1", n)
	}
	wantKeys(t, keys(t, q, queue.Ready), "k2", "k4", "k5")
}

func prefetch(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1", "k2", "k3", "k4")
	in, _ := consume(t, q, "a1", queue.Options{Prefetch: 2})
	first, second := next(t, in), next(t, in)
	select {
	case d := <-in:
		t.Fatalf("%s is one more than asked for", d.Key)
	case <-time.After(50 * time.Millisecond):
	}
	ack(t, second)
	ack(t, first)
	got := []string{next(t, in).Key, next(t, in).Key}
	slices.Sort(got)
	wantKeys(t, got, "k3", "k4")
}

// unreceived: what was taken ahead for a consumer that ended was no attempt.
func unreceived(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1", "k2", "k3")
	in, stop := consume(t, q, "a1", queue.Options{Prefetch: 3})
	ack(t, next(t, in))
	stop()
	in, _ = consume(t, q, "a1", queue.Options{})
	seen := map[string]int{}
	for range 2 {
		d := next(t, in)
		seen[d.Key] = d.Attempt
		ack(t, d)
	}
	delete(seen, "")
	if len(seen) != 2 {
		t.Fatalf("got %v", seen)
	}
}

func settleLate(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, stop := consume(t, q, "a1", queue.Options{})
	d := next(t, in)
	stop()
	ack(t, d)
	wantDepth(t, q, "a1", depth{})
}

func declareAgain(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", Limit: 1})
	if s := stats(t, q, "a1"); s.Limit != 1 || s.CrashLimit != 5 || s.Topic != "a" {
		t.Fatalf("got %+v", s.Subscription)
	}
	publish(t, q, "a", "k1")
	wantErr(t, q.Publish(t.Context(), queue.Message{Topic: "a", Key: "k2"}), queue.ErrFull)
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1", Limit: 2})
	publish(t, q, "a", "k2")
	wantDepth(t, q, "a1", depth{Ready: 2})
	if err := q.Declare(t.Context(), queue.Subscription{Topic: "b", Name: "a1"}); err == nil {
		t.Fatal("a subscription moved to another topic with its messages")
	}
	if err := q.Declare(t.Context(), queue.Subscription{Topic: "b"}); err == nil {
		t.Fatal("a subscription without a name")
	}
}

func peek(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	for i := range 120 {
		publish(t, q, "a", fmt.Sprint(i))
	}
	entries, err := q.Peek(t.Context(), "a1", queue.Filter{})
	must(t, err)
	if len(entries) != 100 || entries[0].Key != "0" || entries[99].Key != "99" {
		t.Fatalf("got %d entries", len(entries))
	}
	if e := entries[7]; e.State != queue.Ready || e.Attempt != 0 || e.Headers["h"] != "7" || string(e.Body) != "body of 7" || !e.Due.IsZero() || e.Topic != "a" {
		t.Fatalf("got %+v", e)
	}
	wantDepth(t, q, "a1", depth{Ready: 120}) // looking takes nothing
	if _, err := q.Peek(t.Context(), "a1", queue.Filter{State: "sleeping"}); err == nil {
		t.Fatal("a state that does not exist")
	}
}

func closed(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "k1")
	in, _ := consume(t, q, "a1", queue.Options{})
	d := next(t, in)
	must(t, q.Close())
	must(t, q.Close())
	if _, ok := <-in; ok {
		t.Fatal("the channel is not closed")
	}
	if err := d.Ack(t.Context()); err == nil {
		t.Fatal("settled on a closed queue")
	}
	wantErr(t, q.Publish(t.Context(), queue.Message{Topic: "a"}), queue.ErrClosed)
	_, err := q.Consume(t.Context(), "a1", queue.Options{})
	wantErr(t, err, queue.ErrClosed)
	_, err = q.Stats(t.Context())
	wantErr(t, err, queue.ErrClosed)
	wantErr(t, q.Declare(t.Context(), queue.Subscription{Topic: "a", Name: "a2"}), queue.ErrClosed)
}

// handle: the helper that most consumers use settles by the answer.
func handle(t *testing.T, q queue.Queue) {
	declare(t, q, queue.Subscription{Topic: "a", Name: "a1"})
	publish(t, q, "a", "good", "again", "stop", "often")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answer := func(_ context.Context, d queue.Delivery) error {
		switch {
		case d.Key == "again" && d.Attempt == 1, d.Key == "often":
			return errors.New("not now")
		case d.Key == "stop":
			return retry.Stop(errors.New("never"))
		}
		return nil
	}
	done := make(chan error, 1)
	go func() {
		done <- queue.Handle(ctx, q, "a1", queue.Options{}, retry.Policy{MaxAttempts: 3}, answer, nil)
	}()
	waitFor(t, func() bool {
		s := stats(t, q, "a1")
		return s.Parked == 2 && s.Ready+s.Leased+s.Delayed == 0
	})
	wantKeys(t, keys(t, q, queue.Parked), "stop", "often")
	cancel()
	must(t, <-done)
}
