package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/queue"
)

func options(dir string) Options {
	return Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1}
}

func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, s *Store, query string, args ...any) {
	t.Helper()
	must(t, s.Tx(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

func number(t *testing.T, s *Store, query string) (n int) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx *sql.Tx) error { return tx.QueryRow(query).Scan(&n) }))
	return n
}

// numbers is a store with the table numbers (n).
func withNumbers(t *testing.T, dir string) *Store {
	t.Helper()
	s := openStore(t, options(dir))
	exec(t, s, `CREATE TABLE IF NOT EXISTS numbers (n INTEGER)`)
	return s
}

func insert(n int) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO numbers VALUES (?)`, n)
		return err
	}
}

func TestTxIsKept(t *testing.T) {
	dir := t.TempDir()
	s := withNumbers(t, dir)
	must(t, s.Tx(t.Context(), insert(7)))
	must(t, s.Close())
	s = withNumbers(t, dir)
	if n := number(t, s, `SELECT n FROM numbers`); n != 7 {
		t.Fatalf("read %d", n)
	}
}

// One batch of functions: what fails takes back only what it did itself.
func TestFailuresOfABatchAreApart(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	failed := errors.New("no")
	var wg sync.WaitGroup
	hold, held := make(chan struct{}), make(chan struct{})
	wg.Go(func() { // while it runs, the others gather
		must(t, s.exclusive(context.Background(), func(*conn) error { close(held); <-hold; return nil }))
	})
	<-held
	errs := make([]error, 60)
	var undone, done sync.Map
	for i := range errs {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = s.Tx(context.Background(), func(tx *Tx) error {
				tx.OnCommit(func() { done.Store(i, true) })
				tx.OnRollback(func() { undone.Store(i, true) })
				if err := insert(i)(tx); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return failed
				case 2:
					panic("oops")
				}
				return nil
			})
		})
	}
	for len(s.requests) < len(errs) {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	wg.Wait()
	for i, err := range errs {
		_, isDone := done.Load(i)
		_, isUndone := undone.Load(i)
		switch {
		case i%3 == 0 && (err != nil || !isDone || isUndone),
			i%3 == 1 && (!errors.Is(err, failed) || isDone || !isUndone),
			i%3 == 2 && (err == nil || !strings.Contains(err.Error(), "oops") || isDone || !isUndone):
			t.Errorf("function %d: error %v, done %v, undone %v", i, err, isDone, isUndone)
		}
	}
	if n := number(t, s, `SELECT count(*) FROM numbers WHERE n % 3 = 0`); n != 20 {
		t.Errorf("%d of 20 are stored", n)
	}
	if n := number(t, s, `SELECT count(*) FROM numbers WHERE n % 3 <> 0`); n != 0 {
		t.Errorf("%d that failed are stored", n)
	}
}

func TestTxAfterItsFunction(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	var kept *Tx
	must(t, s.Tx(t.Context(), func(tx *Tx) error { kept = tx; return nil }))
	if _, err := kept.Exec(`DELETE FROM numbers`); err == nil {
		t.Error("a transaction was used after it was over")
	}
	if err := kept.Enqueue(queue.Message{}); err == nil {
		t.Error("a transaction was used after it was over")
	}
}

func TestCancelledBeforeItBegan(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	hold, held := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		must(t, s.exclusive(context.Background(), func(*conn) error { close(held); <-hold; return nil }))
	})
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	wg.Go(func() { answer <- s.Tx(ctx, insert(1)) })
	for len(s.requests) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(hold)
	wg.Wait()
	if n := number(t, s, `SELECT count(*) FROM numbers`); n != 0 {
		t.Error("a cancelled function ran")
	}
}

func TestSameQueryInsideItsRows(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	for i := range 3 {
		must(t, s.Tx(t.Context(), insert(i)))
	}
	pairs := 0
	must(t, s.Tx(t.Context(), func(tx *Tx) error {
		return eachNumber(tx, func() error { return eachNumber(tx, func() error { pairs++; return nil }) })
	}))
	if pairs != 9 {
		t.Errorf("%d pairs of 9", pairs)
	}
}

func eachNumber(tx *Tx, f func() error) error {
	rows, err := tx.Query(`SELECT n FROM numbers`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func TestViewSeesASnapshotAndCannotWrite(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	must(t, s.View(t.Context(), func(tx *sql.Tx) error {
		var before, after int
		must(t, tx.QueryRow(`SELECT count(*) FROM numbers`).Scan(&before))
		must(t, s.Tx(context.Background(), insert(1)))
		must(t, tx.QueryRow(`SELECT count(*) FROM numbers`).Scan(&after))
		if before != 0 || after != 0 {
			t.Errorf("saw %d, then %d", before, after)
		}
		if _, err := tx.Exec(`DELETE FROM numbers`); err == nil {
			t.Error("a view wrote")
		}
		return nil
	}))
}

func TestClosed(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	must(t, s.Close())
	must(t, s.Close())
	if err := s.Tx(t.Context(), insert(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
	if err := s.View(t.Context(), func(*sql.Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestOnlyOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, options(dir))
	_, err := Open(t.Context(), options(dir))
	want := fmt.Sprintf("data directory %s is used by another collie (process %d): stop that one, or give this one another --storage.path", dir, os.Getpid())
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	must(t, s.Close())
	openStore(t, options(dir))
}

func TestNewerDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(table string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE " + table + " (a INTEGER);\n")}
	}
	s := openStore(t, options(dir))
	must(t, s.Migrate(t.Context(), "room", fstest.MapFS{"00001_a.sql": file("a"), "00002_b.sql": file("b")}))
	must(t, s.Migrate(t.Context(), "other", fstest.MapFS{"00001_c.sql": file("c")}))
	must(t, s.Close())

	s = openStore(t, options(dir))
	must(t, s.Migrate(t.Context(), "room", fstest.MapFS{"00001_a.sql": file("a"), "00002_b.sql": file("b"), "00003_d.sql": file("d")}))
	err := s.Migrate(t.Context(), "room", fstest.MapFS{"00001_a.sql": file("a")})
	want := "data directory " + dir + " was written by a newer collie (version 3 of room, this one knows 1): start the newer collie, or give --storage.path another directory"
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if n := number(t, s, `SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'b', 'c', 'd')`); n != 4 {
		t.Errorf("%d of 4 tables", n)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		make func(path string) error
		want string
	}{
		"another program's": {func(path string) error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			_, err = db.Exec(`CREATE TABLE t (a)`)
			return errors.Join(err, db.Close())
		}, "is not a file of collie"},
		"no database": {func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("this is a letter\n", 1000)), 0o600)
		}, "is damaged or not a database"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, test.make(filepath.Join(dir, fileName)))
			_, err := Open(t.Context(), options(dir))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestOldSQLiteIsRefused(t *testing.T) {
	for version, ok := range map[string]bool{
		"3.51.2": false, "3.7.0": false, "3.51.3": true, "3.52.0": true, "3.51.10": true, "4.0.0": true, "": false, "2.99.99": false,
	} {
		if err := checkVersion(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestOnceRemembersForAWeek(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := options(t.TempDir())
	o.Now = func() time.Time { return now }
	s := openStore(t, o)
	once := func(key string) (first bool) {
		must(t, s.Tx(t.Context(), func(tx *Tx) (err error) {
			first, err = tx.Once("sub", key)
			return err
		}))
		return first
	}
	if !once("a") || once("a") || !once("b") {
		t.Error("a key was not known the second time only")
	}
	now = now.Add(Remember - time.Second)
	must(t, s.purge(t.Context()))
	if once("a") {
		t.Error("forgotten too early")
	}
	now = now.Add(2 * time.Second)
	must(t, s.purge(t.Context()))
	if !once("a") {
		t.Error("not forgotten")
	}
	if err := s.Tx(t.Context(), func(tx *Tx) error {
		_, err := tx.Once("sub", "c")
		return errors.Join(err, errors.New("no"))
	}); err == nil || !once("c") {
		t.Error("a key was remembered by a transaction that failed")
	}
}

func TestUnusedPagesAreGivenBack(t *testing.T) {
	s := withNumbers(t, t.TempDir())
	exec(t, s, `CREATE TABLE big (b BLOB)`)
	exec(t, s, `WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 200) INSERT INTO big SELECT zeroblob(500000) FROM c`)
	exec(t, s, `DELETE FROM big`)
	before := number(t, s, `PRAGMA page_count`)
	must(t, s.shrink(t.Context(), shrinkFrom, shrinkStep))
	if after := number(t, s, `PRAGMA page_count`); after > shrinkFrom+1000 || before < 20000 {
		t.Errorf("%d pages of %d are left", after, before)
	}
}

func TestMetricsAreClean(t *testing.T) {
	o := options(t.TempDir())
	reg := prometheus.NewRegistry()
	o.Registry = reg
	s := openStore(t, o)
	must(t, s.Tx(t.Context(), func(tx *Tx) error {
		return s.Queue().Declare(tx, queue.Subscription{Topic: "a", Name: "a1"}, queue.Subscription{Topic: "a", Name: "a2"})
	}))
	must(t, s.Tx(t.Context(), func(tx *Tx) error { return tx.Enqueue(queue.Message{Topic: "a", Key: "1"}) }))
	problems, err := testutil.GatherAndLint(reg)
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	want := `
# HELP collie_queue_messages Messages of a subscription by state.
# TYPE collie_queue_messages gauge
collie_queue_messages{state="delayed",subscription="a1"} 0
collie_queue_messages{state="delayed",subscription="a2"} 0
collie_queue_messages{state="leased",subscription="a1"} 0
collie_queue_messages{state="leased",subscription="a2"} 0
collie_queue_messages{state="parked",subscription="a1"} 0
collie_queue_messages{state="parked",subscription="a2"} 0
collie_queue_messages{state="ready",subscription="a1"} 1
collie_queue_messages{state="ready",subscription="a2"} 1
collie_queue_messages{state="spilled",subscription="a1"} 0
collie_queue_messages{state="spilled",subscription="a2"} 0
# HELP collie_queue_published_total Messages stored for a subscription since the start.
# TYPE collie_queue_published_total counter
collie_queue_published_total{subscription="a1"} 1
collie_queue_published_total{subscription="a2"} 1
`
	must(t, testutil.GatherAndCompare(reg, strings.NewReader(want), "collie_queue_messages", "collie_queue_published_total"))
	must(t, s.Close())
	if got, err := reg.Gather(); err != nil || len(got) != 0 {
		t.Errorf("%d metrics are left after closing: %v", len(got), err)
	}
}
