package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/need"
)

// syncsOf runs a child that publishes, and counts its syncs between its marks.
func syncsOf(t *testing.T, program, mode string) int {
	t.Helper()
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", trace, program)
	cmd.Env = childEnviron(mode, filepath.Join(dir, "data"), filepath.Join(dir, "ledger"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mode, err, out)
	}
	return between2marks(t, trace)
}

// between2marks counts what returned 0. A line that was interrupted by another
// thread is counted where it is resumed.
func between2marks(t *testing.T, trace string) int {
	t.Helper()
	f, err := os.Open(trace)
	must(t, err)
	defer f.Close()
	marks, syncs := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.Contains(line, "EBADF"):
			marks++
		case marks == 1 && strings.HasSuffix(strings.TrimSpace(line), "= 0"):
			syncs++
		}
	}
	if marks != 2 {
		t.Fatalf("%d marks in the trace", marks)
	}
	return syncs
}

// syncsEachAcknowledgement is what a build has to keep: no acknowledgement
// without a sync of its own, where one producer waits for each.
func syncsEachAcknowledgement(t *testing.T, program string) (syncs int, kept bool) {
	t.Helper()
	syncs = syncsOf(t, program, "sync_1")
	return syncs, syncs >= 200
}

func TestSyncsForOneProducer(t *testing.T) {
	need.Program(t, "strace")
	syncs, kept := syncsEachAcknowledgement(t, os.Args[0])
	if !kept {
		t.Errorf("%d syncs for 200 acknowledgements", syncs)
	}
	t.Logf("figure queue.syncs_per_ack_1 %.3f syncs", float64(syncs)/200)
}

func TestManyShareASync(t *testing.T) {
	need.Program(t, "strace")
	const acks = 64 * 100
	syncs := syncsOf(t, os.Args[0], "sync_64")
	if syncs == 0 || acks/syncs < 15 {
		t.Errorf("%d syncs for %d acknowledgements", syncs, acks)
	}
	t.Logf("figure queue.acks_per_sync_64 %.1f acknowledgements", float64(acks)/float64(max(syncs, 1)))
}

// The same check finds a build that does not sync.
func TestWithoutSyncIsFoundOut(t *testing.T) {
	need.Program(t, "strace")
	program := filepath.Join(t.TempDir(), "nosync")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "collie_nosync", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if syncs, kept := syncsEachAcknowledgement(t, program); kept {
		t.Errorf("%d syncs for 200 acknowledgements, and yet it does not sync", syncs)
	}
}

// The kernel's fdatasync fails again and again: what was acknowledged is there.
func TestSyncFailsInTheKernel(t *testing.T) {
	need.Program(t, "strace")
	dir := t.TempDir()
	r := &rounds{data: filepath.Join(dir, "data"), ledger: filepath.Join(dir, "ledger")}
	for _, when := range []string{"40+83", "25+61"} { // one that fails while the file is opened anew ends the child
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, "strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", os.DevNull,
			"-e", "inject=fsync,fdatasync:error=EIO:when="+when, os.Args[0])
		cmd.Env = childEnviron("run", r.data, r.ledger)
		from := size(r.ledger)
		must(t, cmd.Start())
		err := errors.Join(r.awaitLedger("a ", time.Minute), r.awaitFrom(from, "u ", time.Minute))
		kill(t, r.ledger)
		_ = cmd.Wait() // its child was killed, and it says so
		cancel()
		must(t, err)
	}
	found, err := compare(t.Context(), r.data, r.ledger)
	must(t, err)
	if found.lost+found.duplicated > 0 || found.acked == 0 || found.unknown == 0 {
		t.Errorf("%s", found)
	}
	t.Log(found)
}

// kill ends the child that wrote last into the ledger.
func kill(t *testing.T, ledger string) {
	t.Helper()
	raw, err := os.ReadFile(ledger)
	must(t, err)
	all := regexp.MustCompile(`(?m)^[a-z] (\d+)/`).FindAllSubmatch(raw, -1)
	if len(all) == 0 {
		t.Fatal("no child wrote anything")
	}
	pid, err := strconv.Atoi(string(all[len(all)-1][1]))
	must(t, err)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}
