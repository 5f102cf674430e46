package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/need"
)

// inNamespace runs the calling test again as root of mounts and processes of
// its own, so that whatever it leaves mounted or running ends with it. It
// returns true in the inner process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("COLLIE_TEST_NAMESPACE") == t.Name() {
		return true
	}
	need.Program(t, "unshare", "bindfs", "fusermount3", "umount")
	need.Root(t)
	need.Device(t, "/dev/fuse")
	args := []string{"-m", "-p", "-f", "--kill-child", "--mount-proc", "/proc/self/exe", "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=2m"}
	cmd := exec.Command("unshare", args...)
	cmd.Args[6], _ = os.Executable() // of the test, not of unshare
	cmd.Env = append(os.Environ(), "COLLIE_TEST_NAMESPACE="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own namespace: %v\n%s", err, out)
	}
	return false
}

// mountBindfs mounts a directory at another through a FUSE program, which is
// what a test can stop. It returns the mount point and the program.
func mountBindfs(t *testing.T) (point string, fuse *os.Process) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	point = filepath.Join(dir, "b")
	cmd := exec.Command("bindfs", "-f", filepath.Join(dir, "a"), point)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = exec.Command("umount", "-l", point).Run()
	})
	awaitCondition(t, "the mount of bindfs", func() bool {
		text, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), " "+point+" ")
	})
	return point, cmd.Process
}

func freeze(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, "the stop of bindfs", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(state, "T")
	})
}

// held is what must not grow while a mount hangs.
type held struct{ threads, files, helpers, helperThreads int }

func holding(t *testing.T, p *helpers) held {
	t.Helper()
	n, _ := p.count()
	h := held{threads: entries(t, "/proc/self/task"), files: entries(t, "/proc/self/fd"), helpers: n}
	if p.current != nil {
		h.helperThreads = entries(t, fmt.Sprintf("/proc/%d/task", p.current.pid))
	}
	return h
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A real mount, frozen: 20 probes are all answered in time and keep their
// series, hold nothing more, and see the end of it at once.
func TestFrozenMount(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	point, fuse := mountBindfs(t)
	p := realHelpers(t)
	m := moduleOf(t, newLocal(Options{}, p), "filesystem", "")
	r := run(m, point)
	wantSuccess(t, r)
	size := metric(t, exposition(r), `probe_filesystem_size_bytes{mountpoint="`+point+`"}`)
	freeze(t, fuse)
	var after3 held
	for i := range 20 {
		r := run(m, point)
		text := exposition(r)
		if r.Success || r.Reason != probe.Stale {
			t.Errorf("probe %d: success %v, reason %q, %s", i+1, r.Success, r.Reason, r.Cause)
		}
		if r.Duration > 1500*time.Millisecond {
			t.Errorf("probe %d took %s", i+1, r.Duration)
		}
		if got := metric(t, text, `probe_filesystem_stuck{mountpoint="`+point+`"}`); got != "1" {
			t.Errorf("probe %d: stuck is %s", i+1, got)
		}
		if got := metric(t, text, `probe_filesystem_size_bytes{mountpoint="`+point+`"}`); got != size {
			t.Errorf("probe %d: size is %s, was %s", i+1, got, size)
		}
		if _, out := p.count(); out != 1 {
			t.Errorf("probe %d: %d calls are out", i+1, out)
		}
		if i == 2 {
			after3 = holding(t, p)
		}
		// Other mounts do not suffer.
		if r := run(m, "/proc"); !r.Success || r.Duration > 500*time.Millisecond {
			t.Errorf("beside probe %d, /proc: success %v in %s: %s", i+1, r.Success, r.Duration, r.Cause)
		}
	}
	if now := holding(t, p); now.helpers != 1 || now.files != after3.files || now.threads > after3.threads+2 || now.helperThreads > after3.helperThreads+2 {
		t.Errorf("after 20 probes %+v, after 3 %+v", now, after3)
	}
	if err := fuse.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, "the answer that was out", func() bool { _, out := p.count(); return out == 0 })
	r = run(m, point)
	wantSuccess(t, r)
	if got := metric(t, exposition(r), `probe_filesystem_stuck{mountpoint="`+point+`"}`); got != "0" {
		t.Errorf("stuck is %s after the thaw", got)
	}
}

// A mount that hangs and is then taken away leaves no helper behind that
// nobody will ever answer; another that hangs is still known to.
func TestFrozenMountThatIsTakenAway(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	point, fuse := mountBindfs(t)
	other, otherFuse := mountBindfs(t)
	p := realHelpers(t)
	m := moduleOf(t, newLocal(Options{}, p), "filesystem", "")
	freeze(t, fuse)
	freeze(t, otherFuse)
	wantFailure(t, run(m, point), probe.Stale, "hangs")
	wantFailure(t, run(m, other), probe.Stale, "hangs")
	first := p.current
	if out, err := exec.Command("umount", "-l", point).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v: %s", err, out)
	}
	wantFailure(t, run(m, point), probe.Status, "nothing is mounted at "+point)
	<-first.gone
	since := metric(t, exposition(run(m, other)), `probe_filesystem_stuck_since_timestamp_seconds{mountpoint="`+other+`"}`)
	if again := metric(t, exposition(run(m, other)), `probe_filesystem_stuck_since_timestamp_seconds{mountpoint="`+other+`"}`); again != since {
		t.Errorf("the other mount hangs since %s, then since %s", since, again)
	}
	if n, out := p.count(); n != 1 || out != 1 {
		t.Errorf("%d helpers with %d calls out, want 1 with that of the other mount", n, out)
	}
	if err := otherFuse.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, "the answer of the other mount", func() bool { _, out := p.count(); return out == 0 })
	wantSuccess(t, run(m, other))
}

// We can end while a mount hangs, and so can the helper: nothing keeps our port
// or our lock.
func TestEndWhileAMountHangs(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	point, fuse := mountBindfs(t)
	l := New(Options{})
	freeze(t, fuse)
	wantFailure(t, run(moduleOf(t, l, "filesystem", ""), point), probe.Stale, "hangs")
	p, ok := l.asker.(*helpers)
	if !ok {
		t.Fatal("no helper process is used")
	}
	pid := p.current.pid
	start := time.Now()
	if err := l.Close(); err != nil {
		t.Log(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("close took %s", took)
	}
	awaitCondition(t, "the end of the helper", func() bool { return !running(pid) })
}

// The program behind a FUSE mount dies: that is an answer, not a hang.
func TestDeadFuseProgram(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	point, fuse := mountBindfs(t)
	p := realHelpers(t)
	m := moduleOf(t, newLocal(Options{}, p), "filesystem", "")
	freeze(t, fuse)
	wantFailure(t, run(m, point), probe.Stale, "hangs")
	if err := fuse.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, "the end of the call", func() bool { _, out := p.count(); return out == 0 })
	wantFailure(t, run(m, point), probe.Unreachable, "transport endpoint is not connected")
}

// The sizes are those that df prints.
func TestSizesAreThoseOfDf(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	for _, args := range [][]string{
		{"mount", "-t", "tmpfs", "-o", "size=3m,nr_inodes=50", "odd name", dir},
		{"dd", "if=/dev/zero", "of=" + dir + "/x", "bs=1M", "count=1"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	p := realHelpers(t)
	r := run(moduleOf(t, newLocal(Options{}, p), "filesystem", ""), dir)
	wantSuccess(t, r)
	out, err := exec.CommandContext(context.Background(), "df", "-B1", "--output=source,size,avail,itotal,iavail", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fields := strings.Fields(strings.TrimPrefix(lines[1], "odd name"))
	text := exposition(r)
	for i, name := range []string{"size_bytes", "avail_bytes", "files", "files_free"} {
		got := metric(t, text, fmt.Sprintf(`probe_filesystem_%s{mountpoint="%s"}`, name, dir))
		if value, want := number(t, got), number(t, fields[i]); value != want {
			t.Errorf("%s is %v, df says %v", name, value, want)
		}
	}
	metric(t, text, `probe_filesystem_info{mountpoint="`+dir+`",device="odd name",fstype="tmpfs"}`)
}

func number(t *testing.T, text string) (v float64) {
	t.Helper()
	if _, err := fmt.Sscan(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
