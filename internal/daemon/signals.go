package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Signals is the task that listens to the operating system: SIGTERM and SIGINT
// end the program, SIGHUP reloads it.
type Signals struct {
	reload func(context.Context) error
	log    *slog.Logger
	ready  chan struct{}
}

// NewSignals makes the task. reload is called for each SIGHUP.
func NewSignals(log *slog.Logger, reload func(context.Context) error) *Signals {
	return &Signals{reload: reload, log: log, ready: make(chan struct{})}
}

// Name implements Task.
func (s *Signals) Name() string { return "signals" }

// Ready implements Task.
func (s *Signals) Ready() <-chan struct{} { return s.ready }

// Run implements Task: it returns nil at the first SIGTERM or SIGINT. A second
// one ends the process at once, for people who cannot wait for the drain.
func (s *Signals) Run(ctx context.Context) error {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(c)
	close(s.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-c:
			if sig != syscall.SIGHUP {
				s.log.Info("stopping", "signal", sig.String())
				return nil
			}
			// The reloader logs and counts its own failures.
			_ = s.reload(ctx)
		}
	}
}
