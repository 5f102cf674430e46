package local

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// run makes one probe of a module, as the scheduler does.
func run(m probe.Module, target string) probe.Result {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return probe.Run(ctx, m, probe.Request{Target: target})
}

func wantFailure(t *testing.T, r probe.Result, reason probe.Reason, cause string) {
	t.Helper()
	if r.Success || r.Reason != reason || !strings.Contains(r.Cause, cause) {
		t.Errorf("success %v, reason %q, cause %q; want %q, %q", r.Success, r.Reason, r.Cause, reason, cause)
	}
}

func wantSuccess(t *testing.T, r probe.Result) {
	t.Helper()
	if !r.Success {
		t.Errorf("failed: %s: %s", r.Reason, r.Cause)
	}
}

func TestFilesystemExposition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(serverAnswers())
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
		one := run(m, "/srv")
		wantSuccess(t, one)
		golden(t, "one.prom", exposition(one))

		asker.hanging["/home/kit"] = true
		wantFailure(t, run(m, "/home/kit"), probe.Stale, "/home/kit hangs: no answer since 2000-01-01 00:00:00 UTC")
		asker.thaw("/home/kit", nil)
		wantSuccess(t, run(m, "/home/kit"))
		asker.hanging["/home/kit"] = true
		all := run(m, "*")
		wantFailure(t, all, probe.Stale, "/home/kit hangs: no answer since 2000-01-01 00:00:01 UTC")
		golden(t, "all.prom", exposition(all))
		asker.thaw("/home/kit", nil)
	})
}

// A mount that hangs costs one probe its patience, keeps its series, and is
// never asked twice at a time.
func TestHangingMountCostsOneSecondOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(serverAnswers())
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
		wantSuccess(t, run(m, "/srv"))
		asker.hanging["/srv"] = true
		start := time.Now()
		for i := range 20 {
			r := run(m, "/srv")
			wantFailure(t, r, probe.Stale, "hangs")
			if most := map[bool]time.Duration{true: patience}[i == 0]; r.Duration > most {
				t.Errorf("probe %d took %s", i+1, r.Duration)
			}
			text := exposition(r)
			for series, want := range map[string]string{
				`probe_filesystem_stuck{mountpoint="/srv"}`:                         "1",
				`probe_filesystem_stuck_since_timestamp_seconds{mountpoint="/srv"}`: "9.466848e+08", // 2000-01-01
				`probe_filesystem_size_bytes{mountpoint="/srv"}`:                    "8.192e+06",
			} {
				if got := metric(t, text, series); got != want {
					t.Errorf("probe %d: %s is %s, want %s", i+1, series, got, want)
				}
			}
			time.Sleep(time.Second)
		}
		if asker.asked["/srv"] != 2 {
			t.Errorf("asked %d times, want 2: once before and once while it hangs", asker.asked["/srv"])
		}
		if start.Add(patience + 20*time.Second).Before(time.Now()) {
			t.Errorf("20 probes took %s", time.Since(start))
		}
		asker.thaw("/srv", nil)
		r := run(m, "/srv")
		wantSuccess(t, r)
		if got := metric(t, exposition(r), `probe_filesystem_stuck{mountpoint="/srv"}`); got != "0" {
			t.Errorf("stuck is %s after the thaw", got)
		}
	})
}

// One dead mount must not cost the others their turn, nor many of them more
// than one.
func TestManyHangingMountsAreWaitedForTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(serverAnswers())
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
		for _, path := range []string{"/", "/srv", "/home/kit"} {
			asker.hanging[path] = true
		}
		asker.answers[`/mnt/My Backup\Disk`] = answer{unit: 512, blocks: 8, avail: 8, free: 8}
		r := run(m, "*")
		wantFailure(t, r, probe.Stale, "/ hangs")
		if r.Duration != patience {
			t.Errorf("took %s, want %s", r.Duration, patience)
		}
		if got := metric(t, exposition(r), `probe_filesystem_avail_bytes{mountpoint="/mnt/My Backup\\Disk"}`); got != "4096" {
			t.Errorf("the healthy mount has %s bytes available", got)
		}
		for path := range asker.out {
			asker.thaw(path, nil)
		}
	})
}

func TestProbesAtTheSameTimeShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(serverAnswers())
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
		asker.hanging["/srv"] = true
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { wantSuccess(t, run(m, "/srv")) })
		}
		synctest.Wait()
		asker.thaw("/srv", nil)
		all.Wait()
		if asker.asked["/srv"] != 1 {
			t.Errorf("asked %d times", asker.asked["/srv"])
		}
	})
}

func TestShortBudgetIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(serverAnswers())
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
		asker.hanging["/srv"] = true
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r := probe.Run(ctx, m, probe.Request{Target: "/srv"})
		wantFailure(t, r, probe.Stale, "hangs")
		if r.Duration > 90*time.Millisecond {
			t.Errorf("took %s of 100ms", r.Duration)
		}
		asker.thaw("/srv", nil)
	})
}

func TestLostCallIsAskedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(serverAnswers())
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
		asker.hanging["/srv"] = true
		done := make(chan probe.Result)
		go func() { done <- run(m, "/srv") }()
		synctest.Wait()
		asker.thaw("/srv", errLost)
		wantSuccess(t, <-done)
		if asker.asked["/srv"] != 2 {
			t.Errorf("asked %d times", asker.asked["/srv"])
		}
	})
}

func TestGoneMountIsForgottenAndItsCallAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := procDir(t, "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n28 27 8:2 / /srv rw - ext4 /dev/sdb rw\n")
		asker := newFakeAsker(serverAnswers())
		l := newLocal(Options{ProcPath: dir}, asker)
		m := moduleOf(t, l, "filesystem", "")
		asker.hanging["/srv"] = true
		wantFailure(t, run(m, "/srv"), probe.Stale, "hangs")
		writeMountinfo(t, dir, "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
		r := run(m, "/srv")
		wantFailure(t, r, probe.Status, "nothing is mounted at /srv; it lies on the file system at /")
		if got := metric(t, exposition(r), `probe_filesystem_mounted{mountpoint="/srv"}`); got != "0" {
			t.Errorf("mounted is %s", got)
		}
		if asker.abandoned != 1 || len(l.sights) != 0 {
			t.Errorf("abandoned %d calls, remembers %d mounts", asker.abandoned, len(l.sights))
		}
		asker.thaw("/srv", nil)
		// Mounted again it is another one, although it looks the same.
		writeMountinfo(t, dir, "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 27 8:2 / /srv rw - ext4 /dev/sdb rw\n")
		wantSuccess(t, run(m, "/srv"))
	})
}

func TestFilesystemJudgement(t *testing.T) {
	const rw, roDisk, roMount = "28 27 8:2 / /srv rw - ext4 /dev/sdb rw\n", "28 27 8:2 / /srv rw - ext4 /dev/sdb ro\n", "28 27 8:2 / /srv ro - ext4 /dev/sdb rw\n"
	healthy := answer{unit: 4096, blocks: 1 << 20, free: 1 << 19, avail: 1 << 18, files: 1000, filesFree: 100} // 4 GiB, 1 GiB available
	full := answer{unit: 4096, blocks: 1 << 20, free: 1 << 10, files: 1000, filesFree: 100}
	noInodes := answer{unit: 4096, blocks: 1 << 20, free: 1 << 19, avail: 1 << 18, files: 1000}
	for _, tt := range []struct {
		name, mount, options string
		answer               answer
		reason               probe.Reason
		cause                string
	}{
		{"healthy", rw, "", healthy, probe.None, ""},
		{"without sizes", rw, "min_free_ratio: 0.5", answer{unit: 4096}, probe.None, ""},
		{"full for all but root", rw, "", full, probe.Quota, "/srv is full: nothing of its 4.0 GiB is free"},
		{"full and read-only", roDisk, "", full, probe.None, ""},
		{"no inodes", rw, "", noInodes, probe.Quota, "/srv has no inode left of 1000"},
		{"no inodes and read-only", roMount, "", noInodes, probe.None, ""},
		{"ratio kept", rw, "min_free_ratio: 0.25", healthy, probe.None, ""},
		{"ratio broken", rw, "min_free_ratio: 26%", healthy, probe.Quota, "/srv has 1.0 GiB of 4.0 GiB free, less than 26 %"},
		{"bytes kept", rw, "min_free_bytes: 1GB", healthy, probe.None, ""},
		{"bytes broken", rw, "min_free_bytes: 1073741825", healthy, probe.Quota, "/srv has 1.0 GiB of 4.0 GiB free, less than"},
		{"bytes broken and read-only", roMount, "min_free_bytes: 2GB", healthy, probe.Quota, "less than 2.0 GiB"},
		{"inodes kept", rw, "min_free_inodes_ratio: 0.1", healthy, probe.None, ""},
		{"inodes broken", rw, "min_free_inodes_ratio: 0.2", healthy, probe.Quota, "/srv has 100 of 1000 inodes free, less than 20 %"},
		{"inodes made as needed", rw, "min_free_inodes_ratio: 0.2", answer{unit: 4096, blocks: 8, avail: 8}, probe.None, ""},
		{"read-only from the start", roDisk, "", healthy, probe.None, ""},
		{"read-only, writable expected", roMount, "expect_writable: true", healthy, probe.Status, "/srv is read-only, but expect_writable is set"},
		{"stale handle", rw, "", answer{errno: syscall.ESTALE}, probe.Stale, "stale file handle"},
		{"not allowed", rw, "", answer{errno: syscall.EACCES}, probe.Auth, "permission denied"},
		{"its program died", rw, "", answer{errno: syscall.ENOTCONN}, probe.Unreachable, "transport endpoint is not connected"},
		{"soft mount timed out", rw, "", answer{errno: syscall.ETIMEDOUT}, probe.Timeout, "connection timed out"},
		{"broken disk", rw, "", answer{errno: syscall.EIO}, probe.Status, "/srv cannot be asked for its size: input/output error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := procDir(t, "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n"+tt.mount)
			asker := newFakeAsker(map[string]answer{"/srv": tt.answer})
			r := run(moduleOf(t, newLocal(Options{ProcPath: dir}, asker), "filesystem", tt.options), "/srv")
			if tt.reason == probe.None {
				wantSuccess(t, r)
				return
			}
			wantFailure(t, r, tt.reason, tt.cause)
		})
	}
}

func TestTurnedReadOnly(t *testing.T) {
	const mount = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n28 27 8:2 / /srv rw - ext4 /dev/sdb "
	for _, tt := range []struct {
		options string
		reason  probe.Reason
	}{{"", probe.Status}, {"expect_writable: true", probe.Status}, {"expect_writable: false", probe.None}} {
		t.Run(tt.options, func(t *testing.T) {
			dir := procDir(t, mount+"rw\n")
			m := moduleOf(t, newLocal(Options{ProcPath: dir}, newFakeAsker(serverAnswers())), "filesystem", tt.options)
			wantSuccess(t, run(m, "/srv"))
			writeMountinfo(t, dir, mount+"ro\n")
			r := run(m, "/srv")
			if got := metric(t, exposition(r), `probe_filesystem_readonly{mountpoint="/srv"}`); got != "1" {
				t.Errorf("readonly is %s", got)
			}
			if tt.reason == probe.None {
				wantSuccess(t, r)
			} else {
				wantFailure(t, r, tt.reason, "/srv ")
			}
			writeMountinfo(t, dir, mount+"rw\n")
			wantSuccess(t, run(m, "/srv"))
		})
	}
}

func TestTargetsThatAreNoMount(t *testing.T) {
	dir := procDir(t, "")
	m := moduleOf(t, newLocal(Options{ProcPath: dir}, newFakeAsker(serverAnswers())), "filesystem", "")
	wantFailure(t, run(m, "/srv/www"), probe.Status, "nothing is mounted at /srv/www; it lies on the file system at /srv")
	wantFailure(t, run(m, "/home"), probe.Status, "an automounter waits there")
	wantFailure(t, run(m, "srv"), probe.Protocol, `"srv" is neither an absolute path nor *`)
	none := moduleOf(t, newLocal(Options{ProcPath: dir}, newFakeAsker(nil)), "filesystem", "fs_types_exclude: .")
	wantFailure(t, run(none, "*"), probe.Status, "no real file system is mounted")
	if err := os.Remove(dir + "/self/mountinfo"); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, run(m, "*"), probe.Protocol, "on Linux only")
}

func TestTheWorstProblemComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker := newFakeAsker(map[string]answer{"/": {unit: 1, blocks: 1}, "/srv": {errno: syscall.EIO}, "/home/kit": {}})
		asker.hanging["/home/kit"] = true
		m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "expect_writable: true")
		r := run(m, "*")
		wantFailure(t, r, probe.Stale, "/home/kit hangs")
		wantFailure(t, r, probe.Stale, "; /srv cannot be asked for its size: input/output error; ")
		wantFailure(t, r, probe.Stale, "; and 1 more")
		if lines := strings.Count(r.Evidence, "\n") + 1; lines != 4 {
			t.Errorf("evidence has %d lines:\n%s", lines, r.Evidence)
		}
		asker.thaw("/home/kit", nil)
	})
}

func TestHelperThatCannotBeHad(t *testing.T) {
	asker := newFakeAsker(serverAnswers())
	m := moduleOf(t, newLocal(Options{ProcPath: procDir(t, "")}, asker), "filesystem", "")
	wantSuccess(t, run(m, "/srv"))
	asker.err = errors.New("not ready")
	r := run(m, "/srv")
	wantFailure(t, r, probe.Timeout, "/srv cannot be asked for its size: not ready")
	if got := metric(t, exposition(r), `probe_filesystem_size_bytes{mountpoint="/srv"}`); got != "8.192e+06" {
		t.Errorf("size is %s", got)
	}
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{
		"/srv":                               "/srv",
		"/caf\xe9":                           `/caf\xe9`,
		"/café":                              "/café",
		strings.Repeat("a", 300):             strings.Repeat("a", 256),
		strings.Repeat("a", 255) + "é" + "b": strings.Repeat("a", 255),
	} {
		if got := label(in); got != want {
			t.Errorf("label of %q is %q, want %q", in, got, want)
		}
	}
}
