package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/need"
)

func start(t *testing.T, o Options, program string, args ...string) *Process {
	t.Helper()
	need.Program(t, program)
	p, err := Start(o, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestOutputAndExit(t *testing.T) {
	var out bytes.Buffer
	p := start(t, Options{Dir: "/", Env: []string{"NAME=collie"}, Output: &out}, "sh", "-c", "echo $NAME in $PWD; echo err >&2; exit 3")
	err := p.Wait(limit(t))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("ended with %v", err)
	}
	if want := "collie in /\nerr\n"; p.Tail() != want || out.String() != want {
		t.Errorf("tail %q, output %q", p.Tail(), out.String())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal after the end: %v", err)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	p := start(t, Options{}, "sh", "-c", "trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done")
	awaitOutput(t, p, "ready\n")
	if err := p.Freeze(limit(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
		t.Fatal("ended although it is frozen")
	default:
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(limit(t)); err == nil || err.Error() != "exit status 4" {
		t.Errorf("ended with %v", err)
	}
}

func awaitOutput(t *testing.T, p *Process, want string) {
	t.Helper()
	if err := Await(limit(t), "output", func(context.Context) error {
		if p.Tail() != want {
			return errors.New("not yet")
		}
		return nil
	}, p); err != nil {
		t.Fatal(err)
	}
}

func TestEnd(t *testing.T) {
	p := start(t, Options{}, "sleep", "600")
	if err := p.End(time.Minute); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("ended with %v", err)
	}
	deaf := start(t, Options{}, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	awaitOutput(t, deaf, "ready\n")
	if err := deaf.End(time.Millisecond); err == nil || !strings.Contains(err.Error(), "did not end within") {
		t.Errorf("ended with %v", err)
	}
}

func TestAwaitHTTP(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	done := make(chan error)
	go func() { done <- AwaitHTTP(limit(t), url, "hello") }()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAwaitSaysWhyItWillNeverBe(t *testing.T) {
	p := start(t, Options{}, "sh", "-c", "echo no such file; exit 1")
	err := Await(limit(t), "a port", func(context.Context) error { return errors.New("refused") }, p)
	if err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := Await(ctx, "rain", func(context.Context) error { return errors.New("sun") }); err == nil || !strings.Contains(err.Error(), "gave up waiting for rain: sun") {
		t.Errorf("error %v", err)
	}
}

func TestTailIsBounded(t *testing.T) {
	var w tail
	for i := range 100_000 {
		_, _ = fmt.Fprintf(&w, "line %d\n", i)
	}
	if got := w.String(); len(got) > tailSize || !strings.HasSuffix(got, "line 99999\n") || cap(w.text) > 8*tailSize {
		t.Errorf("%d bytes kept, capacity %d", len(got), cap(w.text))
	}
}

func TestMissingProgram(t *testing.T) {
	if _, err := Start(Options{}, "no-such-program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
