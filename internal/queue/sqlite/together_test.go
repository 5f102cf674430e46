package sqlite

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
)

// What many publish at once is written together; a key that is known, and a
// message that does not fit, still get their own answer.
func TestPublishersTogether(t *testing.T) {
	q := openQueue(t, t.TempDir())
	const limit = 300
	must(t, q.Declare(t.Context(), queue.Subscription{Topic: "t", Name: "s", Limit: limit}, queue.Subscription{Topic: "t", Name: "second"},
		queue.Subscription{Topic: "spilling", Name: "spill", Limit: 10, OnFull: queue.Spill}))
	var wg sync.WaitGroup
	var refused atomic.Int64
	for n := range 32 {
		wg.Go(func() {
			for i := range 20 {
				key := fmt.Sprint(n/2, "/", i) // two publish the same
				err := q.Publish(t.Context(), queue.Message{Topic: "t", Key: key, Body: []byte(key)})
				if errors.Is(err, queue.ErrFull) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
				if err := q.Publish(t.Context(), queue.Message{Topic: "spilling"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	stats, err := q.Stats(t.Context())
	must(t, err)
	for _, s := range stats {
		if s.Name != "spill" && s.Ready != limit || s.Name == "spill" && (s.Ready != 10 || s.Spilled != 10) {
			t.Errorf("%s: %d ready, %d spilled", s.Name, s.Ready, s.Spilled)
		}
	}
	if refused.Load() == 0 {
		t.Error("nobody was refused")
	}
	entries, err := q.Peek(t.Context(), "s", queue.Filter{Limit: 10_000})
	must(t, err)
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.Key] || e.Key != string(e.Body) || len(e.Key) == 0 {
			t.Errorf("%q is stored twice, or with another's body %q", e.Key, e.Body)
		}
		seen[e.Key] = true
	}
}

// Exactly one of those who publish the same at once is the first, and nobody is
// where it was acted upon before.
func TestPublishOnceTogether(t *testing.T) {
	q := openQueue(t, t.TempDir())
	must(t, q.Declare(t.Context(), queue.Subscription{Topic: "t", Name: "s"}))
	const keys, acted = 40, 5 // of 40 keys, every fifth was acted upon
	must(t, q.store.Tx(t.Context(), func(tx *store.Tx) error {
		for i := 0; i < keys; i += acted {
			if _, err := tx.Once("s", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	}))
	var firsts [keys]atomic.Int64
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			for i := range keys {
				i := (i + n/4*acted) % keys // four walk together
				first, err := q.store.PublishOnce(t.Context(), "s", queue.Message{Topic: "t", Key: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
				}
				if first {
					firsts[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range firsts {
		want := int64(1)
		if i%acted == 0 {
			want = 0
		}
		if got := firsts[i].Load(); got != want {
			t.Errorf("key %d: %d were the first", i, got)
		}
	}
	entries, err := q.Peek(t.Context(), "s", queue.Filter{Limit: 10_000})
	must(t, err)
	if want := keys - keys/acted; len(entries) != want {
		t.Errorf("%d messages, want %d", len(entries), want)
	}
}
