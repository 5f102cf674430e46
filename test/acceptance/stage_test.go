package acceptance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type stageKey struct{}

// stage is what one story has standing: processes, servers, pingers and marks.
type stage struct {
	dir   string
	procs map[string]*proc
	webs  map[string]*http.Server
	marks map[string]time.Time
	stops map[string]func() // of pingers
}

type proc struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string // where its output goes
}

func newStage(env *testscript.Env) *stage {
	return &stage{
		dir: env.WorkDir, procs: map[string]*proc{}, webs: map[string]*http.Server{},
		marks: map[string]time.Time{}, stops: map[string]func(){},
	}
}

// clear ends what the story left standing.
func (s *stage) clear() {
	for _, stop := range s.stops {
		stop()
	}
	for _, p := range s.procs {
		// A process that has ended already has nothing to be told.
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	for _, w := range s.webs {
		_ = w.Close()
	}
}

// logs are the last lines of each process, for a story that failed.
func (s *stage) logs() string {
	var b strings.Builder
	for name, p := range s.procs {
		raw, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, "--- %s\n%s\n", name, raw[max(0, len(raw)-4096):])
	}
	return b.String()
}

// cmdPort puts a free loopback port into each named variable.
func cmdPort(ts *testscript.TestScript, _ *stage, args []string) error {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return err
		}
		ts.Setenv(name, port)
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// cmdFill replaces $NAME and ${NAME} in files by the story's variables.
func cmdFill(ts *testscript.TestScript, _ *stage, args []string) error {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		if err := os.WriteFile(ts.MkAbs(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cmdWeb starts or stops a real HTTP server.
func cmdWeb(_ *testscript.TestScript, s *stage, args []string) error {
	switch {
	case len(args) >= 3 && args[0] == "start":
		return s.startWeb(args[1], args[2], args[3:])
	case len(args) == 2 && args[0] == "stop":
		w, ok := s.webs[args[1]]
		if !ok {
			return fmt.Errorf("no web server %q", args[1])
		}
		delete(s.webs, args[1])
		return w.Close()
	}
	return usageError("web start NAME PORT [STATUS [BODY]] | web stop NAME")
}

func (s *stage) startWeb(name, port string, rest []string) error {
	status, body := http.StatusOK, "fine\n"
	if len(rest) > 0 {
		var err error
		if status, err = strconv.Atoi(rest[0]); err != nil {
			return err
		}
	}
	if len(rest) > 1 {
		body = rest[1]
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	w := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the prober may have left
	})}
	s.webs[name] = w
	go func() { _ = w.Serve(l) }() // ends with Close, in stop or clear
	return nil
}

// cmdStart starts a process in the background; its output goes to NAME.log.
func cmdStart(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) < 2 {
		return usageError("start NAME PROGRAM [ARG...]")
	}
	if p, ok := s.procs[args[0]]; ok {
		select {
		case <-p.done:
		default:
			return fmt.Errorf("%s runs already", args[0])
		}
	}
	log, err := os.OpenFile(filepath.Join(s.dir, args[0]+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	program := args[1]
	if full, err := lookPath(ts.Getenv("PATH"), program); err == nil {
		program = full
	}
	c := exec.Command(program, args[2:]...) //nolint:noctx // ended by clear, by its own pid
	c.Dir, c.Stdout, c.Stderr = s.dir, log, log
	c.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + s.dir}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return err
	}
	p := &proc{cmd: c, done: make(chan struct{}), log: log.Name()}
	s.procs[args[0]] = p
	go func() {
		defer close(p.done)
		_ = c.Wait() // how it ended is seen in its ProcessState
		_ = log.Close()
	}()
	return nil
}

func lookPath(path, program string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, program)
		if info, err := os.Stat(full); err == nil && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", os.ErrNotExist
}

// cmdSig sends a signal to a process by its own pid.
func cmdSig(_ *testscript.TestScript, s *stage, args []string) error {
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "HUP": syscall.SIGHUP,
	}
	if len(args) != 2 || signals[args[0]] == 0 {
		return usageError("sig TERM|KILL|STOP|CONT|HUP NAME")
	}
	p, ok := s.procs[args[1]]
	if !ok {
		return fmt.Errorf("no process %q", args[1])
	}
	return p.cmd.Process.Signal(signals[args[0]])
}

// cmdGone waits for the end of a process; its exit code has to be CODE (0).
func cmdGone(_ *testscript.TestScript, s *stage, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usageError("gone NAME [CODE|killed]")
	}
	p, ok := s.procs[args[0]]
	if !ok {
		return fmt.Errorf("no process %q", args[0])
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		return fmt.Errorf("%s still runs", args[0])
	}
	want := "0"
	if len(args) == 2 {
		want = args[1]
	}
	got := strconv.Itoa(p.cmd.ProcessState.ExitCode())
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
		got = "killed"
	}
	if got != want {
		return fmt.Errorf("%s ended with %s, want %s", args[0], got, want)
	}
	return nil
}

// cmdPinger posts to a URL again and again until it is stopped.
func cmdPinger(_ *testscript.TestScript, s *stage, args []string) error {
	switch {
	case len(args) == 4 && args[0] == "start":
		every, err := time.ParseDuration(args[3])
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			ping(ctx, args[2], every)
		}()
		s.stops[args[1]] = func() { cancel(); <-done }
		return nil
	case len(args) == 2 && args[0] == "stop":
		stop, ok := s.stops[args[1]]
		if !ok {
			return fmt.Errorf("no pinger %q", args[1])
		}
		stop()
		delete(s.stops, args[1])
		return nil
	}
	return usageError("pinger start NAME URL EVERY | pinger stop NAME")
}

func ping(ctx context.Context, url string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_, _, _ = request(ctx, http.MethodPost, url) // a ping that got lost is followed by the next
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
