package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/daemon"
)

var errDisk = errors.New("disk is gone")

// diary notes what tasks do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// task is ready after startup, ends after work with err, or when told to after slow.
type task struct {
	name                string
	diary               *diary
	startup, work, slow time.Duration
	err                 error
	ready               chan struct{}
}

func (t *task) Name() string           { return t.name }
func (t *task) Ready() <-chan struct{} { return t.ready }

func (t *task) Run(ctx context.Context) error {
	time.Sleep(t.startup)
	t.diary.note(t.name + " ready")
	close(t.ready)
	work := make(<-chan time.Time)
	if t.work > 0 {
		work = time.After(t.work)
	}
	select {
	case <-ctx.Done():
		time.Sleep(t.slow)
		t.diary.note(t.name + " ended")
		return nil
	case <-work:
		t.diary.note(t.name + " left")
		return t.err
	}
}

func newTask(d *diary, name string) *task {
	return &task{name: name, diary: d, ready: make(chan struct{})}
}

func TestGroupStartsAndStopsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		store, exporter, server := newTask(d, "store"), newTask(d, "exporter"), newTask(d, "server")
		store.startup, exporter.slow, server.slow = 3*time.Second, time.Second, 2*time.Second
		g := daemon.NewGroup(slog.New(slog.DiscardHandler), time.Minute, []daemon.Task{store}, []daemon.Task{exporter}, []daemon.Task{server})
		ctx, cancel := context.WithCancel(t.Context())
		if diff := cmp.Diff([]string{"store", "exporter", "server"}, g.Pending()); diff != "" {
			t.Errorf("pending before the start (-want +got):\n%s", diff)
		}
		time.AfterFunc(10*time.Second, cancel)
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
		want := []string{"store ready", "exporter ready", "server ready", "server ended", "exporter ended", "store ended"}
		if diff := cmp.Diff(want, d.lines); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if len(g.Pending()) != 0 {
			t.Errorf("pending after the start: %v", g.Pending())
		}
	})
}

func TestGroupStopsWhenATaskEnds(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"with an error":               {errDisk, "short: disk is gone"},
		"on purpose, as signals does": {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &diary{}
				long, short := newTask(d, "long"), newTask(d, "short")
				short.work, short.err = time.Second, tt.err
				err := daemon.NewGroup(slog.New(slog.DiscardHandler), time.Minute, []daemon.Task{long}, []daemon.Task{short}).Run(t.Context())
				if got := errorText(err); got != tt.want {
					t.Errorf("Run = %q, want %q", got, tt.want)
				}
				want := []string{"long ready", "short ready", "short left", "long ended"}
				if diff := cmp.Diff(want, d.lines); diff != "" {
					t.Errorf("order (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestGroupDoesNotStartWhatCannotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		broken, next := newTask(d, "broken"), newTask(d, "next")
		broken.ready = make(chan struct{})
		g := daemon.NewGroup(slog.New(slog.DiscardHandler), time.Minute, []daemon.Task{failing{broken}}, []daemon.Task{next})
		if err := g.Run(t.Context()); !errors.Is(err, errDisk) {
			t.Errorf("Run = %v, want the cause", err)
		}
		if len(d.lines) != 0 {
			t.Errorf("a later stage was started: %v", d.lines)
		}
	})
}

type failing struct{ *task }

func (failing) Run(context.Context) error { return errDisk }

func TestGroupNamesWhoDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		stuck := newTask(d, "stuck")
		stuck.slow = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := daemon.NewGroup(slog.New(slog.DiscardHandler), time.Minute, []daemon.Task{stuck}).Run(ctx)
		if !strings.Contains(errorText(err), "stuck did not end within 1m0s") {
			t.Errorf("Run = %v", err)
		}
		time.Sleep(time.Hour) // the bubble ends only when the stuck task has
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
