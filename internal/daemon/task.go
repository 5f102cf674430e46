// Package daemon runs long-lived tasks: it starts them in order, says when all
// are ready, and stops them in the reverse order. Operating system signals and
// the HTTP server are tasks like the rest, so that there is one way to stop.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Task is anything long-lived.
type Task interface {
	// Run works until ctx ends and then returns nil; an error stops the whole
	// program. What it started has ended when it returns.
	Run(ctx context.Context) error
	// Name is a short noun for logs and /-/ready.
	Name() string
	// Ready is closed once the task does its work.
	Ready() <-chan struct{}
}

// ErrStopped is wrapped by the cause of a context that a task ended on purpose,
// as the operating system's signals do.
var ErrStopped = errors.New("stopped")

// Group is a set of stages. A stage is started after the stages before it are
// ready, and stopped after the stages behind it have ended: what receives is
// started first and stopped last.
type Group struct {
	stages [][]Task
	log    *slog.Logger
	drain  time.Duration
}

// NewGroup makes a group that gives each stage at most drain to end.
func NewGroup(log *slog.Logger, drain time.Duration, stages ...[]Task) *Group {
	return &Group{stages: stages, log: log, drain: drain}
}

// running is one started task.
type running struct {
	Task
	done chan struct{} // closed when Run has returned
}

// Run runs all stages until ctx ends or a task returns. It returns the errors
// of tasks, and of tasks that did not end in time.
func (g *Group) Run(ctx context.Context) error {
	ended := make(chan error, g.count()) // never blocks a task
	var started [][]running
	var cancels []context.CancelFunc
	var first error
	for _, stage := range g.stages {
		// Values and deadlines go down, the end of ctx does not: stages end in order.
		stageCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancels = append(cancels, cancel)
		tasks := start(stageCtx, stage, ended)
		started = append(started, tasks)
		if first = awaitReady(ctx, tasks, ended); first != nil || ctx.Err() != nil {
			break
		}
	}
	if first == nil && ctx.Err() == nil {
		first = awaitEnd(ctx, ended)
	}
	errs := []error{first}
	for i, tasks := range slices.Backward(started) {
		cancels[i]()
		errs = append(errs, g.await(tasks))
	}
	return errors.Join(append(errs, drainErrors(ended)...)...)
}

// Pending names the tasks that are not ready yet.
func (g *Group) Pending() []string {
	var names []string
	for _, stage := range g.stages {
		for _, t := range stage {
			select {
			case <-t.Ready():
			default:
				names = append(names, t.Name())
			}
		}
	}
	return names
}

func (g *Group) count() (n int) {
	for _, stage := range g.stages {
		n += len(stage)
	}
	return n
}

func start(ctx context.Context, stage []Task, ended chan<- error) []running {
	tasks := make([]running, 0, len(stage))
	for _, t := range stage {
		r := running{Task: t, done: make(chan struct{})}
		tasks = append(tasks, r)
		go func() {
			defer close(r.done)
			err := t.Run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", t.Name(), err)
			} else if ctx.Err() == nil {
				err = fmt.Errorf("%s: %w", t.Name(), ErrStopped)
			}
			ended <- err
		}()
	}
	return tasks
}

// awaitReady returns the error of a task that ended before all were ready.
func awaitReady(ctx context.Context, tasks []running, ended <-chan error) error {
	for _, t := range tasks {
		select {
		case <-t.Ready():
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func awaitEnd(ctx context.Context, ended <-chan error) error {
	select {
	case err := <-ended:
		if errors.Is(err, ErrStopped) {
			return nil
		}
		return err
	case <-ctx.Done():
		return nil
	}
}

// await waits for the tasks of a stage that was told to end.
func (g *Group) await(tasks []running) error {
	late := time.NewTimer(g.drain)
	defer late.Stop()
	for _, t := range tasks {
		select {
		case <-t.done:
			g.log.Debug("task ended", "task", t.Name())
		case <-late.C:
			return fmt.Errorf("%s did not end within %s", t.Name(), g.drain)
		}
	}
	return nil
}

func drainErrors(ended <-chan error) (errs []error) {
	for {
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, ErrStopped) {
				errs = append(errs, err)
			}
		default:
			return errs
		}
	}
}
