//go:build linux

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/rows"
	"github.com/colliehq/collie/internal/store/disk"
)

// faulty is a store on a disk that answers as fail says.
func faulty(t *testing.T) (s *Store, fail *atomic.Pointer[disk.Fault]) {
	t.Helper()
	dir := t.TempDir()
	s = withNumbers(t, dir)
	fail = &atomic.Pointer[disk.Fault]{}
	t.Cleanup(disk.Inject(dir, func(op, file string) error {
		if f := fail.Load(); f != nil {
			return (*f)(op, filepath.Base(file))
		}
		return nil
	}))
	return s, fail
}

func TestFailedSyncIsUnknownAndTheFileIsReadAnew(t *testing.T) {
	s, fail := faulty(t)
	must(t, s.Tx(t.Context(), func(tx *Tx) error { return s.Queue().Declare(tx, queue.Subscription{Topic: "a", Name: "a"}) }))
	enqueue := func(key string) func(*Tx) error {
		return func(tx *Tx) error { return tx.Enqueue(queue.Message{Topic: "a", Key: key}) }
	}
	must(t, s.Tx(t.Context(), enqueue("before")))

	var ops []string
	once := disk.Fault(func(op, file string) error {
		ops = append(ops, op+" "+file)
		if len(ops) > 1 && op == "sync" && ops[0] == "failed" {
			return nil
		}
		if op == "sync" {
			ops = []string{"failed"}
			return syscall.EIO
		}
		return nil
	})
	fail.Store(&once)
	if err := s.Tx(t.Context(), enqueue("during")); !errors.Is(err, queue.ErrUnknown) {
		t.Fatalf("error %v, want that nobody knows", err)
	}
	must(t, s.Tx(t.Context(), enqueue("after"))) // waits until the file is open again
	fail.Store(nil)
	// The page cache is not believed: the file itself was written and synced
	// before anybody was answered again.
	if got := strings.Join(ops, ", "); !strings.Contains(got, "write "+fileName) || !strings.Contains(got, "sync "+fileName) {
		t.Errorf("after the failure: %s", got)
	}
	if n := testutil.ToFloat64(s.metrics.failures); n != 1 {
		t.Errorf("%v failures counted", n)
	}
	sub, _ := s.Queue().Sub("a")
	stored := number(t, s, `SELECT count(*) FROM queue_messages`)
	if counted := sub.Counts()[queue.Ready]; counted != stored || stored < 2 || stored > 3 {
		t.Errorf("%d counted, %d stored", counted, stored)
	}
	if n := number(t, s, `SELECT count(*) FROM queue_messages WHERE key IN ('before', 'after')`); n != 2 {
		t.Errorf("%d of 2 acknowledged are stored", n)
	}
}

func TestBrokenDiskEndsTheProcess(t *testing.T) {
	s, fail := faulty(t)
	done := make(chan error, 1)
	go func() { done <- s.Guard().Run(context.Background()) }()
	broken := disk.Fault(func(op, _ string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	})
	fail.Store(&broken)
	if err := s.Tx(t.Context(), insert(1)); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "cannot be trusted") {
			t.Errorf("the guard ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the guard did not end")
	}
	if err := s.Tx(t.Context(), insert(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
	fail.Store(nil)
}

func TestFullDiskRecoversInPlace(t *testing.T) {
	s, fail := faulty(t)
	full := disk.Fault(func(op, _ string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	must(t, s.Tx(t.Context(), insert(1)))
	fail.Store(&full)
	for i := range 5 {
		if err := s.Tx(t.Context(), insert(10+i)); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("error %v", err)
		}
	}
	fail.Store(nil)
	must(t, s.Tx(t.Context(), insert(2)))
	if n := number(t, s, `SELECT sum(n) FROM numbers`); n != 3 {
		t.Errorf("the sum is %d, want 3", n)
	}
	if n := testutil.ToFloat64(s.metrics.failures); n != 0 {
		t.Errorf("a full disk was taken for a broken one %v times", n)
	}
}

func TestFailedReadInAFunction(t *testing.T) {
	s, fail := faulty(t)
	must(t, s.Tx(t.Context(), insert(1)))
	broken := disk.Fault(func(_, _ string) error { return syscall.EIO })
	fail.Store(&broken)
	err := s.Tx(t.Context(), func(tx *Tx) error {
		fail.Store(nil) // only the log's first write fails
		_ = insert(2)(tx)
		fail.Store(&broken)
		return nil
	})
	if !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	fail.Store(nil)
}

// needsMount skips where a test cannot mount, but not in CI.
func needsMount(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test mounts a small file system: run it as root")
	}
	t.Skip("this test mounts a small file system: run it as root")
}

// small is a file system of its own.
func small(t *testing.T, size string) (dir string) {
	t.Helper()
	needsMount(t)
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestSmallFileSystemFilledAndFreed(t *testing.T) {
	dir := small(t, "24m")
	filler := filepath.Join(dir, "filler")
	must(t, os.WriteFile(filler, make([]byte, 10<<20), 0o600))
	o := options(dir)
	o.Ballast = 0
	s := openStore(t, o)
	ctx, stop := context.WithCancel(context.Background())
	guard := s.Guard()
	guarded := make(chan error, 1)
	go func() { guarded <- guard.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-guarded)
	})
	awaitTrue(t, s.space.present.Load)
	must(t, s.Tx(t.Context(), func(tx *Tx) error { return s.Queue().Declare(tx, queue.Subscription{Topic: "a", Name: "a"}) }))
	publish := func() error {
		return s.Tx(t.Context(), func(tx *Tx) error { return tx.Enqueue(queue.Message{Topic: "a", Body: make([]byte, 4096)}) })
	}
	acked := 0
	var err error
	for err == nil {
		if err = publish(); err == nil {
			acked++
		}
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("error %v", err)
	}
	if s.space.present.Load() || !s.SpaceLow() {
		t.Error("the ballast was kept from the queue")
	}
	// What is refused is publishing. Draining goes on.
	exec(t, s, `CREATE TABLE record (a)`)
	must(t, os.Remove(filler))
	awaitTrue(t, func() bool { return s.space.present.Load() && !s.SpaceLow() })
	must(t, publish())
	acked++
	if n := number(t, s, `SELECT count(*) FROM queue_messages`); n != acked {
		t.Errorf("%d are stored, %d were acknowledged", n, acked)
	}
	var check string
	must(t, s.Tx(t.Context(), func(tx *Tx) error { return tx.QueryRow(`PRAGMA integrity_check`).Scan(&check) }))
	if check != "ok" {
		t.Error(check)
	}
}

// The queue itself fills the disk; once it is drained, publishing goes on
// although nobody else freed anything.
func TestDrainedQueueMakesRoom(t *testing.T) {
	dir := small(t, "24m")
	o := options(dir)
	o.Ballast = 0
	s := openStore(t, o)
	ctx, stop := context.WithCancel(context.Background())
	guarded := make(chan error, 1)
	go func() { guarded <- s.Guard().Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-guarded)
	})
	awaitTrue(t, s.space.present.Load)
	must(t, s.Tx(t.Context(), func(tx *Tx) error { return s.Queue().Declare(tx, queue.Subscription{Topic: "a", Name: "a"}) }))
	publish := func() error {
		return s.Tx(t.Context(), func(tx *Tx) error { return tx.Enqueue(queue.Message{Topic: "a", Body: make([]byte, 4096)}) })
	}
	for err := publish(); err == nil; err = publish() { //nolint:revive // until it is full
	}
	sub, _ := s.Queue().Sub("a")
	for sub.Counts()[queue.Ready] > 0 {
		must(t, s.Tx(t.Context(), func(tx *Tx) error {
			taken, err := s.Queue().Take(tx, sub, rows.Want{Max: 50, Lease: time.Minute})
			for _, m := range taken {
				err = errors.Join(err, s.Queue().Ack(tx, sub, rows.Lease{ID: m.ID, Token: m.Token}))
			}
			return err
		}))
	}
	awaitTrue(t, func() bool { return publish() == nil })
}

func awaitTrue(t *testing.T, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatal("it did not happen")
		}
	}
}

func TestFullyFilledWithoutGuard(t *testing.T) {
	dir := small(t, "8m")
	s := withNumbers(t, dir)
	filler, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	must(t, filler.Close())
	acked, refused := 0, 0
	for i := range 2000 {
		switch err := s.Tx(t.Context(), insert(i)); {
		case err == nil:
			acked++
		case errors.Is(err, queue.ErrFull):
			refused++
		default:
			t.Fatalf("error %v", err)
		}
	}
	must(t, os.Remove(filler.Name()))
	must(t, s.Tx(t.Context(), insert(1)))
	if n := number(t, s, `SELECT count(*) FROM numbers`); n != acked+1 || refused == 0 {
		t.Errorf("%d are stored, %d were acknowledged, %d refused", n, acked+1, refused)
	}
}
