package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// realHelpers is the asker that the program has, with the hook in TestMain.
func realHelpers(t testing.TB) *helpers {
	t.Helper()
	p, ok := newAsker(slog.New(slog.DiscardHandler), nil).(*helpers)
	if !ok {
		t.Fatal("MaybeHelper was called, but no helper process is used")
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// askAndWait makes one call and waits for its answer.
func askAndWait(t testing.TB, p asker, path string) (answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := p.ask(ctx, path)
	if err != nil {
		return answer{}, err
	}
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		t.Fatal("no answer")
		return answer{}, nil
	}
}

// awaitCondition waits for something that nobody tells us about.
func awaitCondition(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func exists(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestHelperAnswersAsTheKernelDoes(t *testing.T) {
	p := realHelpers(t)
	dir := t.TempDir()
	for path, errno := range map[string]syscall.Errno{dir: 0, dir + "/missing": syscall.ENOENT, "": syscall.ENOENT, strings.Repeat("/a", 3000): syscall.ENAMETOOLONG} {
		got, err := askAndWait(t, p, path)
		if err != nil || got.errno != errno {
			t.Errorf("%.20q: errno %v, error %v; want errno %v", path, got.errno, err, errno)
		}
	}
	var want syscall.Statfs_t
	if err := syscall.Statfs(dir, &want); err != nil {
		t.Fatal(err)
	}
	got, err := askAndWait(t, p, dir)
	if err != nil || got.blocks != want.Blocks || got.files != want.Files || got.unit != uint64(want.Frsize) {
		t.Errorf("got %+v, %v; the kernel says %+v", got, err, want)
	}
	if n := testutil.ToFloat64(p.starts); n != 1 {
		t.Errorf("%v helpers were started for six calls", n)
	}
}

func TestHelperIsStartedAgain(t *testing.T) {
	p := realHelpers(t)
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	first := p.current
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.gone
	if exists(first.pid) {
		t.Error("the killed helper was not reaped")
	}
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	if n, out := p.count(); n != 1 || out != 0 {
		t.Errorf("%d helpers with %d calls out", n, out)
	}
}

// A stopped helper stands for one that hangs: its call is lost when it ends.
func TestCallOfAHelperThatEndsIsLost(t *testing.T) {
	p := realHelpers(t)
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	h := p.current
	if err := syscall.Kill(h.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c, err := p.ask(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(h.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.done
	if !errors.Is(c.err, errLost) {
		t.Errorf("the call ended with %v", c.err)
	}
}

func TestHelperIgnoresTheSignalsOfTheService(t *testing.T) {
	p := realHelpers(t)
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(p.current.pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(p.starts); n != 1 {
		t.Errorf("%v helpers were started", n)
	}
}

func TestIdleHelperGoes(t *testing.T) {
	p := realHelpers(t)
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	h := p.current
	p.reap()
	if p.current != h {
		t.Fatal("the helper went although it was just used")
	}
	p.mu.Lock()
	p.used = p.used.Add(-idleAfter)
	p.mu.Unlock()
	p.reap()
	<-h.gone
	if n, _ := p.count(); n != 0 {
		t.Errorf("%d helpers are there", n)
	}
	if _, err := askAndWait(t, p, "/"); err != nil {
		t.Error(err)
	}
}

func TestHelperLeavesWithClose(t *testing.T) {
	l := New(Options{Registry: prometheus.NewRegistry()})
	r := run(moduleOf(t, l, "filesystem", ""), "/proc")
	wantSuccess(t, r)
	p, ok := l.asker.(*helpers)
	if !ok {
		t.Fatal("no helper process is used")
	}
	pid := p.current.pid
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(pid) {
		t.Error("the helper is still there")
	}
	wantFailure(t, run(moduleOf(t, l, "filesystem", ""), "/proc"), "timeout", "cannot be asked")
}

func TestMetricsOfTheHelper(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	l := New(Options{Registry: reg})
	t.Cleanup(func() { _ = l.Close() })
	wantSuccess(t, run(moduleOf(t, l, "filesystem", ""), "/proc"))
	want := `
# HELP collie_statfs_calls_in_flight Calls for the size of a file system that have not returned, at most one for each mount.
# TYPE collie_statfs_calls_in_flight gauge
collie_statfs_calls_in_flight 0
# HELP collie_statfs_helper_starts_total Helper processes started to ask file systems for their sizes.
# TYPE collie_statfs_helper_starts_total counter
collie_statfs_helper_starts_total 1
# HELP collie_statfs_helpers Helper processes that are there, those that were ended but hang in the kernel included.
# TYPE collie_statfs_helpers gauge
collie_statfs_helpers 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// The helper of a program that was killed ends as well, stopped or not.
func TestHelperDiesWithUs(t *testing.T) {
	if os.Getenv("COLLIE_TEST_PARENT") != "" {
		p := realHelpers(t)
		if _, err := askAndWait(t, p, "/"); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("helper %d\n", p.current.pid)
		select {}
	}
	parent := exec.Command("/proc/self/exe", "-test.run=^TestHelperDiesWithUs$")
	parent.Env = append(os.Environ(), "COLLIE_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "helper ")))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	awaitCondition(t, "the end of the helper", func() bool { return !running(pid) })
}

// running tells whether a process is there and not a zombie that someone else
// has to reap.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// A program without the hook must never be started again as a helper.
func TestWithoutTheHookNothingIsStarted(t *testing.T) {
	hooked.Store(false)
	defer hooked.Store(true)
	l := New(Options{})
	if _, ok := l.asker.(inProcess); !ok {
		t.Fatalf("asks through %T", l.asker)
	}
	wantSuccess(t, run(moduleOf(t, l, "filesystem", ""), "/proc"))
}

func FuzzFrames(f *testing.F) {
	f.Add(appendQuestion(appendQuestion(nil, 1, "/"), 2, "/mnt"))
	f.Add(answerFrame(7, answer{errno: syscall.EIO, unit: 4096, blocks: 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if id, a, err := readAnswer(strings.NewReader(string(data))); err == nil {
			if got := answerFrame(id, a); string(got) != string(data[:answerSize]) {
				t.Errorf("answer %x became %x", data[:answerSize], got)
			}
		}
		if id, path, err := readQuestion(strings.NewReader(string(data))); err == nil {
			if got := appendQuestion(nil, id, path); string(got) != string(data[:len(got)]) {
				t.Errorf("question %x became %x", data[:len(got)], got)
			}
		}
	})
}
