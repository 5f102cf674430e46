package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// helper is this program running as serve in a process of its own. A call that
// hangs in the kernel holds the helper, never us: we can always end, and leave
// neither our port nor our storage lock to a process that cannot be killed.
type helper struct {
	pid   int
	to    *os.File
	from  *os.File
	ready chan struct{} // closed when the helper has said hello
	gone  chan struct{} // closed when it has ended and its calls are lost

	mu      sync.Mutex
	out     map[uint32]*call
	lastID  uint32
	reaping bool // it has ended: its number may soon be another process's
}

// startHelper starts a helper. Its environment holds nothing of ours, its
// standard error goes nowhere: a hanging helper must not keep a log open.
func startHelper() (*helper, error) {
	childIn, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer childIn.Close()
	from, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	defer childOut.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, errors.Join(err, to.Close(), from.Close())
	}
	defer null.Close()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"collie-statfs"}, &syscall.ProcAttr{ //nolint:gosec // this same program
		Dir:   "/", // nothing that could be unmounted
		Env:   []string{helperEnv + "=1", "GOMAXPROCS=1"},
		Files: []uintptr{childIn.Fd(), childOut.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the helper process that asks for sizes: %w", err), to.Close(), from.Close())
	}
	return &helper{pid: pid, to: to, from: from, ready: make(chan struct{}), gone: make(chan struct{}), out: map[uint32]*call{}}, nil
}

// listen takes the helper's answers until it ends, and reaps it. The end of the
// pipe means that the last of its threads has gone, so that waiting is short.
func (h *helper) listen(log *slog.Logger) {
	defer close(h.gone)
	if _, _, err := readAnswer(h.from); err == nil {
		close(h.ready) // the first is its hello
		h.answers()
	}
	h.hangUp()
	_ = h.from.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reaping = true
	_, err := retryInterrupted(func() (int, error) { return unix.Wait4(h.pid, nil, 0, nil) })
	log.Debug("statfs helper ended", "pid", h.pid, "calls_lost", len(h.out), "err", err)
	for id, c := range h.out {
		c.finish(answer{}, errLost)
		delete(h.out, id)
	}
}

func (h *helper) answers() {
	for {
		id, a, err := readAnswer(h.from)
		if err != nil {
			return
		}
		if c := h.take(id); c != nil {
			c.finish(a, nil)
		}
	}
}

func (h *helper) take(id uint32) *call {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.out[id]
	delete(h.out, id)
	return c
}

// ask sends a question once the helper has said hello.
func (h *helper) ask(ctx context.Context, path string) (*call, error) {
	select {
	case <-h.ready:
	case <-h.gone:
		return nil, errLost
	case <-ctx.Done():
		return nil, fmt.Errorf("the helper process that asks for sizes was not ready in time: %w", ctx.Err())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	c := newCall()
	_ = h.to.SetWriteDeadline(c.sent.Add(patience))
	if _, err := h.to.Write(appendQuestion(nil, h.lastID, path)); err != nil {
		h.kill() // half a question may be in the pipe
		return nil, errLost
	}
	h.out[h.lastID] = c
	return c, nil
}

func (h *helper) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.out) > 0
}

// hangUp makes the helper end by itself, unless all its threads hang.
func (h *helper) hangUp() { _ = h.to.Close() }

// kill ends the helper. One that hangs where nothing can be killed stays until
// its call returns. The caller holds h.mu.
func (h *helper) kill() {
	if !h.reaping {
		_ = unix.Kill(h.pid, unix.SIGKILL)
	}
}

func (h *helper) ended() bool {
	select {
	case <-h.gone:
		return true
	default:
		return false
	}
}

// greeted tells whether the helper ever said hello.
func (h *helper) greeted() bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}
