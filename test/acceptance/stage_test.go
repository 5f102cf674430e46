package acceptance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/beaker"
	"github.com/colliehq/collie/internal/testkit/faketarget"
	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/internal/testkit/launch"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
	"github.com/colliehq/collie/internal/testkit/smallfs"
)

type stageKey struct{}

// stage is what one story has standing: processes, servers, pingers and marks.
type stage struct {
	dir     string
	procs   map[string]*launch.Process
	webs    map[string]*faketarget.HTTP
	marks   map[string]time.Time
	stops   map[string]func() // of pingers
	ircds   map[string]*ircd.Real
	people  map[string]*person // on IRC
	disks   map[string]*smallfs.FS
	brokers map[string]*broker

	labs    map[string]*beaker.Lab // simulated
	storage storage
}

func newStage(env *testscript.Env) *stage {
	return &stage{
		dir: env.WorkDir, procs: map[string]*launch.Process{}, webs: map[string]*faketarget.HTTP{},
		marks: map[string]time.Time{}, stops: map[string]func(){}, ircds: map[string]*ircd.Real{}, people: map[string]*person{}, disks: map[string]*smallfs.FS{},
		brokers: map[string]*broker{},
		storage: storage{real: map[string]*s3test.Gateway{}, simulated: map[string]*s3test.Fake{}},
	}
}

// clear ends what the story left standing.
func (s *stage) clear() {
	for _, stop := range s.stops {
		stop()
	}
	for _, p := range s.people {
		p.Close()
	}
	for _, server := range s.ircds {
		_ = server.Close()
	}
	for _, b := range s.brokers {
		b.end()
	}
	s.storage.clear()
	for _, p := range s.procs {
		_ = p.Kill() // how it ended is nobody's concern any more
	}
	for _, w := range s.webs {
		_ = w.Stop()
	}
	for _, d := range s.disks {
		_ = d.Unmount()
	}
}

// logs are the last lines of each process, for a story that failed.
func (s *stage) logs() string {
	var b strings.Builder
	for name, p := range s.procs {
		tail := p.Tail()
		fmt.Fprintf(&b, "--- %s\n%s\n", name, tail[max(0, len(tail)-4096):])
	}
	return b.String()
}

// cmdPort puts a free loopback port into each named variable.
func cmdPort(ts *testscript.TestScript, _ *stage, args []string) error {
	for _, name := range args {
		port, err := launch.FreePort()
		if err != nil {
			return err
		}
		ts.Setenv(name, strconv.Itoa(port))
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

// cmdWeb starts, stops and starts again a real HTTP server.
func cmdWeb(_ *testscript.TestScript, s *stage, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "start":
		if w := s.webs[args[1]]; w != nil {
			return w.Start()
		}
		port, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		s.webs[args[1]], err = faketarget.StartHTTP(port, http.StatusOK, "fine\n")
		return err
	case len(args) == 2 && args[0] == "stop" && s.webs[args[1]] != nil:
		return s.webs[args[1]].Stop()
	}
	return usageError("web start NAME PORT | web stop NAME")
}

// cmdStart starts a process in the background; its output goes to NAME.log.
func cmdStart(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) < 2 {
		return usageError("start NAME PROGRAM [ARG...]")
	}
	log, err := os.OpenFile(filepath.Join(s.dir, args[0]+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ts.Defer(func() { _ = log.Close() })
	program, err := lookPath(ts.Getenv("PATH"), args[1])
	if err != nil {
		return err
	}
	s.procs[args[0]], err = launch.Start(launch.Options{Dir: s.dir, Env: []string{"HOME=" + s.dir}, Output: log}, program, args[2:]...)
	return err
}

// lookPath looks where the story looks, not where the test runner does.
func lookPath(path, program string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if full, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return full, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s", program, path)
}

func (s *stage) process(name string) (*launch.Process, error) {
	if p := s.procs[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no process %q", name)
}

// cmdSig sends a signal to a process by its own pid.
func cmdSig(_ *testscript.TestScript, s *stage, args []string) error {
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "HUP": syscall.SIGHUP,
	}
	if len(args) != 2 || signals[args[0]] == 0 {
		return usageError("sig TERM|KILL|STOP|CONT|HUP NAME")
	}
	p, err := s.process(args[1])
	if err != nil {
		return err
	}
	return p.Signal(signals[args[0]])
}

// cmdGone waits for the end of a process; behind "!" it has to be a bad one.
func cmdGone(_ *testscript.TestScript, s *stage, args []string) error {
	if len(args) != 1 {
		return usageError("gone NAME")
	}
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		return errors.Join(err, errors.New(s.logs()))
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
	case len(args) == 2 && args[0] == "stop" && s.stops[args[1]] != nil:
		s.stops[args[1]]()
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
