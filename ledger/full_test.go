package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/internal/testkit/smallfs"
	"github.com/colliehq/collie/signal"
)

// TestNearlyFullDiskIsNoSilence: on a disk that is nearly full an exporter may
// not publish its lease, while the ledger could still write. That is no reason
// to say that nobody looked.
func TestNearlyFullDiskIsNoSilence(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	disk, err := smallfs.Mount(dir, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Unmount(); err != nil {
			t.Error(err)
		}
	})
	spare := filepath.Join(dir, "spare") // less than what is kept for queue and record
	if err := os.WriteFile(spare, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r, stop := startWith(t, dir, 0)
	defer stop()
	guarded := guard(t, r)
	defer guarded()

	now := time.Now().UTC().Round(0)
	r.publish(signalOf("web", 1, now.Add(-time.Minute), signal.Up))
	lease := signal.Lease{Source: source, Session: "a", Watermark: now, Every: time.Second}
	renew := func() error {
		lease.Seq++
		return r.queue.Publish(t.Context(), message(signal.TopicLeases, strconv.FormatUint(lease.Seq, 10), lease))
	}
	await(t, "no lease is taken any more", func() bool {
		if err := disk.Fill(); err != nil { // the ballast, too
			t.Fatal(err)
		}
		return errors.Is(renew(), queue.ErrFull)
	})
	if err := os.Remove(spare); err != nil {
		t.Fatal(err)
	}
	refused := time.Now()
	await(t, "the time for a lease ran out", func() bool {
		r.leases.mu.Lock()
		defer r.leases.mu.Unlock()
		have := r.leases.sources[source]
		return have.lapsed || have.at.Sub(refused) > time.Second
	})
	if err := disk.Free(); err != nil {
		t.Fatal(err)
	}
	await(t, "leases are taken again", func() bool { return renew() == nil })
	await(t, "the lease is read", r.idle)
	if record := r.record("web"); len(record) != 1 {
		t.Errorf("web was up all the time, the record says otherwise (-want +got):\n%s", cmp.Diff(record[:1], record))
	}
}

// guard runs the guard of the store, which finds out that the disk is full.
func guard(t *testing.T, r *running) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.store.Guard().Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
