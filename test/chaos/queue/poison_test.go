package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
)

const kills = 100

// A consumer that kills itself on one message a hundred times: each time the
// message is parked with its cause, the others flow, and redriving delivers it
// again; in the end to a consumer that was mended.
func TestPoisonKillsAHundredTimes(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	killed, published := 0, 0
	for round := 0; killed < kills; round++ {
		between(t, data, func(q *sqlite.Queue, _ *store.Store) {
			must(t, q.Declare(t.Context(), poisonous()))
			must(t, q.Publish(t.Context(), queue.Message{Topic: topic, Key: poison}))
			if n, err := q.Redrive(t.Context(), consumer, poison); err != nil || n != min(round, 1) {
				t.Fatalf("redrove %d: %v", n, err)
			}
			for range 5 {
				published++
				must(t, q.Publish(t.Context(), queue.Message{Topic: topic, Key: fmt.Sprint("good", published)}))
			}
		})
		killed += runUntilDone(t, "poison", data)
		between(t, data, func(q *sqlite.Queue, s *store.Store) {
			parked(t, q)
			if n := actedOn(t, s, "good"); n != published {
				t.Fatalf("round %d: %d of the %d others were acted on", round, n, published)
			}
		})
	}
	between(t, data, func(q *sqlite.Queue, _ *store.Store) {
		if n, err := q.Redrive(t.Context(), consumer, poison); err != nil || n != 1 {
			t.Fatalf("redrove %d: %v", n, err)
		}
	})
	if n := runUntilDone(t, "mended", data); n != 0 {
		t.Errorf("the mended consumer died %d times", n)
	}
	between(t, data, func(_ *sqlite.Queue, s *store.Store) {
		if n := actedOn(t, s, poison); n != 1 {
			t.Errorf("acted on the redriven message %d times", n)
		}
	})
	t.Logf("killed %d times", killed)
}

func killedItself(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// between opens the queue while no child runs.
func between(t *testing.T, data string, f func(*sqlite.Queue, *store.Store)) {
	t.Helper()
	s, q, err := open(t.Context(), data)
	must(t, err)
	defer func() { must(t, errors.Join(q.Close(), s.Close())) }()
	f(q, s)
}

func parked(t *testing.T, q *sqlite.Queue) {
	t.Helper()
	entries, err := q.Peek(t.Context(), consumer, queue.Filter{})
	must(t, err)
	if len(entries) != 1 || entries[0].Key != poison || entries[0].State != queue.Parked || !strings.Contains(entries[0].Cause, "lease lost 2 times") {
		t.Fatalf("left: %+v", entries)
	}
}

func actedOn(t *testing.T, s *store.Store, prefix string) (n int) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx *sql.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM acted WHERE key GLOB ? || '*'`, prefix).Scan(&n)
	}))
	return n
}

// runUntilDone starts children until one ends by itself, and counts those that
// were killed.
func runUntilDone(t *testing.T, mode, data string) (killed int) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = childEnviron(mode, data, filepath.Join(t.TempDir(), "ledger"))
		cmd.Stderr = os.Stderr
		err := cmd.Run()
		hangs := ctx.Err() != nil
		cancel()
		switch {
		case err == nil:
			return killed
		case hangs || !killedItself(err):
			t.Fatalf("child: %v", err)
		}
		if killed++; killed > kills {
			t.Fatal("it is never parked")
		}
	}
}
