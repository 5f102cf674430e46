package alerting

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// childDir makes this test program run alerting in a directory until it is
// killed. It prints its URL, and each signal as a line of JSON.
const childDir = "COLLIE_TEST_ALERTING_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir)
		return
	}
	os.Exit(m.Run())
}

// runChild is the process that is killed. States of targets come from a file.
func runChild(dir string) {
	t := &childT{}
	r := newRig(t, dir, nil)
	// Printed before it is acknowledged, so that what a kill leaves unprinted comes again.
	r.tell = func(s signal.Signal) {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("signal", string(text))
	}
	read := func() {
		text, _ := os.ReadFile(filepath.Join(dir, "states"))
		for line := range strings.Lines(string(text)) {
			target, state, _ := strings.Cut(strings.TrimSpace(line), " ")
			r.states.set(target, state)
		}
	}
	read() // the states are there before the first scrape
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			read()
		}
	}()
	r.start()
	fmt.Println("url", r.url)
	<-r.alerting.open
	fmt.Println("ready")
	select {}
}

// childT is what a rig wants of a test, in a process that is none.
type childT struct{ testing.TB }

func (*childT) Helper()                    {}
func (*childT) Cleanup(func())             {}
func (*childT) Log(args ...any)            { fmt.Fprintln(os.Stderr, args...) }
func (*childT) Logf(f string, args ...any) { fmt.Fprintf(os.Stderr, f+"\n", args...) }
func (*childT) Errorf(f string, args ...any) {
	fmt.Fprintf(os.Stderr, f+"\n", args...)
}

func (*childT) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func (*childT) Fatalf(f string, args ...any) {
	fmt.Fprintf(os.Stderr, f+"\n", args...)
	os.Exit(1)
}

// child is a running process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	url   string
	ready chan struct{}
	seen  chan signal.Signal
	read  chan struct{} // closed once all that it printed was read
}

// startChild starts the process. What was told is remembered by id over all
// processes of a test, as every consumer does: a kill between telling and
// acknowledging makes a redelivery, which is not told twice.
func startChild(t *testing.T, dir string, told *sync.Map) *child {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, ready: make(chan struct{}), seen: make(chan signal.Signal, 10_000), read: make(chan struct{})}
	t.Cleanup(c.kill)
	url := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			switch word {
			case "url":
				url <- rest
			case "ready":
				close(c.ready)
			case "signal":
				var s signal.Signal
				if err := json.Unmarshal([]byte(rest), &s); err != nil {
					continue // cut by the kill
				}
				if _, again := told.LoadOrStore(s.ID, true); !again {
					c.seen <- s
				}
			}
		}
		close(c.seen)
		close(c.read)
	}()
	select {
	case c.url = <-url:
	case <-time.After(30 * time.Second):
		t.Fatal("the process did not start within 30 s")
	}
	return c
}

// kill is kill -9.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Signal(syscall.SIGKILL)
		<-c.read // Wait closes the pipe
		_ = c.cmd.Wait()
	}
}

func (c *child) awaitReady() {
	c.t.Helper()
	select {
	case <-c.ready:
	case <-time.After(60 * time.Second):
		c.t.Fatal("not ready within 60 s")
	}
}

func (c *child) expect(name, target string, status signal.Status) signal.Signal {
	c.t.Helper()
	select {
	case s, ok := <-c.seen:
		if !ok || s.Labels["alertname"] != name || s.Labels["target"] != target || s.Status != status {
			c.t.Fatalf("told %s of %v, want %s of %s for %s", s.Status, s.Labels, status, name, target)
		}
		return s
	case <-time.After(60 * time.Second):
		c.t.Fatalf("%s of %s for %s was not told within 60 s", status, name, target)
	}
	return signal.Signal{}
}

// until adds what is told to seen until its last is status.
func (c *child) until(seen []signal.Status, status signal.Status) []signal.Status {
	c.t.Helper()
	timeout := time.After(60 * time.Second)
	for len(seen) == 0 || seen[len(seen)-1] != status {
		select {
		case s := <-c.seen:
			seen = append(seen, s.Status)
		case <-timeout:
			c.t.Fatalf("told %v within 60 s, want %s last", seen, status)
		}
	}
	return seen
}

func (c *child) nothing(d time.Duration) {
	c.t.Helper()
	select {
	case s := <-c.seen:
		c.t.Fatalf("told %s of %v since %s, want nothing", s.Status, s.Labels, s.Started)
	case <-time.After(d):
	}
}

func setStates(t *testing.T, dir, text string) {
	t.Helper()
	name := filepath.Join(dir, "states")
	write(t, name+".new", text)
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func TestKillTellsNothingTwiceAndLosesNoRecovery(t *testing.T) {
	t.Parallel()
	dir, told := t.TempDir(), &sync.Map{}
	setStates(t, dir, "web up\ndb up\n")
	c := startChild(t, dir, told)
	c.awaitReady()
	setStates(t, dir, "web down\ndb down\n")
	fired := map[string]signal.Signal{}
	for range 2 {
		s := <-c.seen
		fired[s.Labels["target"]] = s
	}
	if len(fired) != 2 {
		t.Fatalf("told %v", fired)
	}
	c.kill()

	// While we were away db recovered. After the start both are unknown for a
	// while, as the exporter says, and nobody may take this for a recovery.
	setStates(t, dir, "web unknown\ndb unknown\n")
	c = startChild(t, dir, told)
	c.awaitReady()
	c.nothing(4 * time.Second)
	setStates(t, dir, "web down\ndb up\n")
	resolved := c.expect("Down", "db", signal.Resolved)
	if !resolved.Started.Equal(fired["db"].Started) || resolved.Subject != fired["db"].Subject {
		t.Errorf("resolved %v, want the end of %v", resolved, fired["db"])
	}
	c.nothing(2 * time.Second)
	c.kill()

	// And once more: neither is told again, and the second recovery arrives.
	c = startChild(t, dir, told)
	c.awaitReady()
	c.nothing(2 * time.Second)
	setStates(t, dir, "web up\ndb up\n")
	if s := c.expect("Down", "web", signal.Resolved); !s.Started.Equal(fired["web"].Started) {
		t.Errorf("resolved since %s, want since %s", s.Started, fired["web"].Started)
	}
	c.nothing(2 * time.Second)
}

func TestKillAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir, told := t.TempDir(), &sync.Map{}
	setStates(t, dir, "web up\n")
	var seen []signal.Status
	state := "up"
	for round := range 6 {
		c := startChild(t, dir, told)
		state = map[string]string{"up": "down", "down": "up"}[state]
		setStates(t, dir, "web "+state+"\n")
		// Killed somewhere between detecting, telling and remembering.
		deadline := time.After(time.Duration(300+round*250) * time.Millisecond)
	killed:
		for {
			select {
			case s := <-c.seen:
				seen = append(seen, s.Status)
			case <-deadline:
				break killed
			}
		}
		c.kill()
		for s := range c.seen {
			seen = append(seen, s.Status)
		}
	}
	setStates(t, dir, "web down\n")
	c := startChild(t, dir, told)
	c.awaitReady()
	seen = c.until(seen, signal.Firing)
	setStates(t, dir, "web up\n")
	seen = c.until(seen, signal.Resolved)
	for i, status := range seen {
		if want := []signal.Status{signal.Firing, signal.Resolved}[i%2]; status != want {
			t.Fatalf("told %v, want firing and resolved in turn", seen)
		}
	}
	t.Logf("told %v", seen)
}

func TestSilencesSurviveKill(t *testing.T) {
	t.Parallel()
	dir, told := t.TempDir(), &sync.Map{}
	setStates(t, dir, "web up\n")
	c := startChild(t, dir, told)
	id := postSilence(t, c.url, "web", http.StatusOK)
	c.kill()
	c = startChild(t, dir, told)
	c.awaitReady()
	if got := silenceState(t, c.url, id); got != "active" {
		t.Fatalf("the silence is %q after a kill", got)
	}
	setStates(t, dir, "web down\n")
	c.nothing(3 * time.Second)
	deleteSilence(t, c.url, id, http.StatusOK)
	c.kill()
	c = startChild(t, dir, told)
	if got := silenceState(t, c.url, id); got != "expired" {
		t.Fatalf("the silence is %q after it was ended and a kill", got)
	}
	c.expect("Down", "web", signal.Firing)
}
