package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantLevel(t *testing.T, name string, f Finding, want Level) {
	t.Helper()
	if f.Level != want || f.Level != OK && f.Do == "" || f.Found == "" {
		t.Errorf("%s: %+v, want %s with something to do", name, f, want)
	}
}

func TestJudgements(t *testing.T) {
	for name, tt := range map[string]struct {
		found Finding
		want  Level
	}{
		"a good disk":            {judge(200*time.Microsecond, 2*time.Millisecond, "x"), OK},
		"a disk that lies":       {judge(2*time.Microsecond, time.Millisecond, "x"), Bad},
		"a slow disk":            {judge(12*time.Millisecond, 40*time.Millisecond, "x"), Warn},
		"a disk in trouble":      {judge(12*time.Millisecond, time.Second, "x"), Bad},
		"room":                   {spaceOf("d", 50<<30, 100<<30), OK},
		"little room":            {spaceOf("d", 500<<20, 1<<30), Warn},
		"little of a large disk": {spaceOf("d", 50<<30, 10<<40), Warn},
		"no room":                {spaceOf("d", 10<<20, 1<<30), Bad},
		"clock set by NTP":       {clockOf(unix.Timex{Maxerror: 5000}), OK},
		"clock set by nobody":    {clockOf(unix.Timex{Status: unix.STA_UNSYNC}), Warn},
		"clock far off":          {clockOf(unix.Timex{Maxerror: 5_000_000}), Warn},
		"files":                  {filesOf(65536), OK},
		"few files":              {filesOf(1024), Warn},
		"hardly any files":       {filesOf(64), Bad},
	} {
		wantLevel(t, name, tt.found, tt.want)
	}
	if f := clockOf(unix.Timex{Offset: 1500, Status: unix.STA_NANO}); f.Values["offset_seconds"] != 1.5e-6 {
		t.Errorf("offset in nanoseconds: %v", f.Values)
	}
}

// The disk is measured in the directory, or where it will be, and nothing is
// left behind.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	found := Disk(filepath.Join(dir, "not", "yet")).Look(t.Context())
	var measured Finding
	for _, f := range found {
		if f.Values != nil {
			measured = f
		}
	}
	v := measured.Values
	if v["syncs"] < 1 || v["syncs_per_second"] <= 0 || v["p50_seconds"] > v["p99_seconds"] || v["p99_seconds"] > v["max_seconds"] {
		t.Errorf("measured %v", v)
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	wantLevel(t, "a file", Disk(file).Look(t.Context())[0], Bad)
}

func TestDiskInMemory(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Log("no /dev/shm here: its kind of file system is not tried")
		return
	}
	found := fileSystem("/dev/shm")
	if len(found) != 1 || found[0].Level != Bad || !strings.Contains(found[0].Found, "in memory") {
		t.Errorf("found %+v", found)
	}
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	file := filepath.Join(dir, "collie.yml")
	must(t, os.WriteFile(file, nil, 0o600))
	if found := Permissions(dir, file).Look(t.Context()); len(found) != 1 || found[0].Level != OK {
		t.Errorf("found %+v", found)
	}
	must(t, errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "collie.db"), nil, 0o600),
		os.Chmod(filepath.Join(dir, "collie.db"), 0o644), os.Chmod(file, 0o666)))
	found := Permissions(dir, file).Look(t.Context())
	if len(found) != 3 {
		t.Fatalf("found %+v", found)
	}
	wantLevel(t, "directory", found[0], Warn)
	wantLevel(t, "data", found[1], Warn)
	wantLevel(t, "configuration", found[2], Bad)
	if found := Permissions(filepath.Join(dir, "not yet"), "").Look(t.Context()); found[0].Level != OK {
		t.Errorf("a directory that is made later: %+v", found)
	}
}

func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "collie.db")
	future := time.Now().Add(time.Hour)
	must(t, errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, future, future)))
	found := Clock(dir, time.Now()).Look(t.Context())
	if last := found[len(found)-1]; last.Level != Warn || !strings.Contains(last.Found, "set back") {
		t.Errorf("found %+v", found)
	}
}

func TestPort(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	wantLevel(t, "free", Port(address).Look(t.Context())[0], OK)

	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	wantLevel(t, "another program", Port(other.Listener.Addr().String()).Look(t.Context())[0], Bad)
	ours := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Collie is healthy.") }))
	defer ours.Close()
	wantLevel(t, "Collie", Port(ours.Listener.Addr().String()).Look(t.Context())[0], OK)
	hooks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"there is no such hook"}`, http.StatusNotFound)
	}))
	defer hooks.Close()
	wantLevel(t, "Collie's webhooks", Port(hooks.Listener.Addr().String()).Look(t.Context())[0], OK)
	wantLevel(t, "not of this machine", Port("192.0.2.1:1").Look(t.Context())[0], Bad)
}

func TestTopology(t *testing.T) {
	look := func(differences []string, err error) []Finding {
		return Topology(func(context.Context) ([]string, error) { return differences, err }).Look(t.Context())
	}
	wantLevel(t, "same", look(nil, nil)[0], OK)
	wantLevel(t, "away", look(nil, errors.New("refused"))[0], Bad)
	if found := look([]string{"queue a: no delivery limit", "queue b is missing"}, nil); len(found) != 2 || found[1].Level != Bad {
		t.Errorf("found %+v", found)
	}
}

func TestReport(t *testing.T) {
	checks := []Check{
		{"one", func(context.Context) []Finding { return []Finding{ok("fine\x1b")} }},
		{"two", func(context.Context) []Finding { return []Finding{bad("mend it", "broken")} }},
	}
	var told []string
	found := Run(t.Context(), checks, func(name string) { told = append(told, name) })
	if Healthy(found) || !Healthy(found[:1]) || strings.Join(told, " ") != "one two" {
		t.Errorf("found %+v, told %v", found, told)
	}
	var out strings.Builder
	must(t, WriteText(&out, found, false))
	if want := "ok   one  fine·\nbad  two  broken\n          → mend it\n\n2 findings: 1 ok, 0 warn, 1 bad\n"; out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
	out.Reset()
	must(t, WriteJSON(&out, found))
	var back []Finding
	must(t, json.Unmarshal([]byte(out.String()), &back))
	if len(back) != 2 || back[1].Do != "mend it" || back[1].Check != "two" {
		t.Errorf("got %+v", back)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found := Run(ctx, checks, nil); len(found) != 0 {
		t.Errorf("went on: %+v", found)
	}
}
