// Package launch runs the processes that tests and stories need: each is ended
// by its own pid, none outlives the test, and what it wrote can be shown.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say how a process is run. The zero value runs it here, with our
// environment, and keeps the end of its output.
type Options struct {
	Dir    string    // working directory; "" is ours
	Env    []string  // NAME=value, beside our environment
	Output io.Writer // gets standard output and error as well; nil: only Tail does
}

// Process is a running program.
type Process struct {
	cmd  *exec.Cmd
	tail tail
	done chan struct{}
	err  error // set when done is closed
}

// Start starts a program. End must be called.
func Start(o Options, program string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(program, args...), done: make(chan struct{})} //nolint:gosec,noctx // what a test asks for; ended by End, by its own pid
	p.cmd.Dir = o.Dir
	p.cmd.Env = append(os.Environ(), o.Env...)
	var out io.Writer = &p.tail
	if o.Output != nil {
		out = io.MultiWriter(o.Output, out)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.WaitDelay = 5 * time.Second // for children of it that keep its output open
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for its end and returns how it ended: nil for exit code 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", p.cmd.Path, ctx.Err())
	}
}

// Tail is the end of what it wrote, at most 64 KiB.
func (p *Process) Tail() string { return p.tail.String() }

// Signal sends a signal. One that has ended already is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill kills it with SIGKILL and waits for its end.
func (p *Process) Kill() error {
	err := p.Signal(syscall.SIGKILL)
	<-p.done
	return err
}

// End ends it: SIGTERM, and SIGKILL when grace has passed or it is frozen. It
// returns how it ended.
func (p *Process) End(grace time.Duration) error {
	err := errors.Join(p.Signal(syscall.SIGTERM), p.Signal(syscall.SIGCONT))
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		err = errors.Join(err, p.Kill(), fmt.Errorf("%s did not end within %s", p.cmd.Path, grace))
	}
	return errors.Join(err, p.err)
}

// Await calls holds until it says yes, ctx ends, or one of the processes has
// ended. Its error holds the last thing that holds said, and the output of
// what ended.
func Await(ctx context.Context, what string, holds func(context.Context) error, needs ...*Process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		for _, p := range needs {
			select {
			case <-p.done:
				return fmt.Errorf("wait for %s: %s ended (%w); it wrote:\n%s", what, p.cmd.Path, errors.Join(p.err, err), p.Tail())
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting for %s: %w (%w)", what, err, ctx.Err())
		}
	}
}

// AwaitHTTP waits until a GET of url is answered with 200 and a body that
// contains the text.
func AwaitHTTP(ctx context.Context, url, text string, needs ...*Process) error {
	return Await(ctx, url, func(ctx context.Context) error {
		body, err := get(ctx, url)
		if err == nil && !strings.Contains(body, text) {
			return fmt.Errorf("the answer does not contain %q: %s", text, body)
		}
		return err
	}, needs...)
}

func get(ctx context.Context, url string) (body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(raw), err
}

// FreePort is a loopback port that nobody listened on a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("unexpected address %v", l.Addr()), l.Close())
	}
	return addr.Port, l.Close()
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > tailSize {
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, len(t.text)-tailSize):])
}
