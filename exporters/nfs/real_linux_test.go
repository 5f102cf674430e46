package nfs_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/ganesha"
)

// server starts a real NFS server in the namespace of the test.
func server(t *testing.T, o ganesha.Options) *ganesha.Server {
	t.Helper()
	s, err := ganesha.Start(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// df asks the system for the size of what is mounted at a directory, in bytes
// and inodes.
func df(t *testing.T, dir string) (numbers []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "df", "-B1", "--output=size,avail,itotal,iavail", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, line, _ := strings.Cut(string(out), "\n")
	return strings.Fields(line)
}

func wantDF(t *testing.T, r probe.Result, dir string, versions ...string) {
	t.Helper()
	numbers := df(t, dir)
	for i, name := range []string{"probe_nfs_size_bytes", "probe_nfs_avail_bytes", "probe_nfs_files", "probe_nfs_files_avail"} {
		for _, v := range versions {
			got, err := strconv.ParseFloat(series(r)[fmt.Sprintf("%s{version=%q}", name, v)], 64)
			if want, _ := strconv.ParseFloat(numbers[i], 64); err != nil || got != want {
				t.Errorf("%s by version %s is %v (%v), df says %v", name, v, got, err, want)
			}
		}
	}
}

// TestGanesha holds a real server's answers against what the system says of
// the same file system.
func TestGanesha(t *testing.T) {
	if !ganesha.Inside(t) {
		return
	}
	s := server(t, ganesha.Options{})
	every := with(t, "{versions: [3, 4.0, 4.1, 4.2]}")
	for _, path := range []string{"/export", "/export/builds", "/export/builds/nightly"} {
		r := look(t, every, "127.0.0.1:"+path)
		want(t, r, probe.None, "")
		wantDF(t, r, s.Dir, "3", "4.0", "4.1", "4.2")
		wantSeries(t, r, map[string]string{"probe_nfs_leftovers": "0", "probe_nfs_exports": "2", `probe_nfs_export_info{export="/export"}`: "1"})
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "more"), make([]byte, 3_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	r := look(t, every, "127.0.0.1:/export")
	wantDF(t, r, s.Dir, "3", "4.0", "4.1", "4.2")
	auto := look(t, with(t, "{}"), "127.0.0.1:/export")
	want(t, auto, probe.None, "")
	wantDF(t, auto, s.Dir, "3", "4.0")
	for _, v := range []string{"3", "4.0", "4.1", "4.2", "auto"} {
		r := look(t, with(t, "{versions: "+v+"}"), "127.0.0.1:/wrong")
		want(t, r, probe.Status, "noent")
		wantSeries(t, r, map[string]string{`probe_nfs_error{status="noent"}`: "1"})
	}
	want(t, look(t, every, "127.0.0.1:/private"), probe.Status, "noent")
	t.Run("privileged port", func(t *testing.T) {
		r := look(t, with(t, "{versions: 3, privileged_port: never}"), "127.0.0.1:/secure")
		want(t, r, probe.Auth, "too weak")
		r = look(t, with(t, "{versions: 3}"), "127.0.0.1:/secure")
		want(t, r, probe.None, "")
		wantSeries(t, r, map[string]string{"probe_nfs_privileged_port": "1"})
		want(t, look(t, with(t, "{privileged_port: always, versions: [3, 4.0, 4.1]}"), "127.0.0.1:/secure"), probe.None, "")
	})
	t.Run("IPv6", func(t *testing.T) {
		r := look(t, every, "[::1]:2049:/export")
		want(t, r, probe.None, "")
		wantDF(t, r, s.Dir, "3", "4.0", "4.1", "4.2")
		wantSeries(t, r, map[string]string{"probe_ip_protocol": "6"})
		want(t, look(t, with(t, "{privileged_port: always}"), "[::1]:/secure"), probe.None, "")
	})
	t.Run("nothing is left", func(t *testing.T) { wantNoClients(t, s) })
	t.Run("stopped", func(t *testing.T) { stopped(t, s) })
}

// wantNoClients looks into the files in which the server keeps the clients that
// it would let reclaim state.
func wantNoClients(t *testing.T, s *ganesha.Server) {
	t.Helper()
	dir := filepath.Join(filepath.Dir(s.Dir), "recovery")
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "collie") {
			t.Errorf("the server still knows %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// stopped freezes the server: it accepts connections and answers nothing.
func stopped(t *testing.T, s *ganesha.Server) {
	if err := s.Process().Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	const limit = 3 * time.Second
	start := time.Now()
	r := lookFor(t, with(t, "{}"), "127.0.0.1:/export", limit)
	t.Logf("a stopped server is found after %s of %s", time.Since(start), limit)
	want(t, r, probe.Timeout, "NULL of nfs3: no answer in time")
	for _, service := range []string{"nfs3", "nfs4", "mount"} {
		wantSeries(t, r, map[string]string{`probe_nfs_connected{service="` + service + `"}`: "1", `probe_nfs_answered{service="` + service + `"}`: "0"})
	}
	if took := r.Duration; took > limit+limit/2 {
		t.Errorf("took %s of %s", took, limit)
	}
	if err := s.Process().Thaw(); err != nil {
		t.Fatal(err)
	}
	want(t, look(t, with(t, "{}"), "127.0.0.1:/export"), probe.None, "")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	want(t, look(t, with(t, "{}"), "127.0.0.1:/export"), probe.Refused, "connection refused")
}

// TestGaneshaOfOneVersion looks at servers that speak less.
func TestGaneshaOfOneVersion(t *testing.T) {
	if !ganesha.Inside(t) {
		return
	}
	for _, c := range []struct {
		name    string
		options ganesha.Options
		sized   string
	}{
		{"4.1 and later without rpcbind", ganesha.Options{Protocols: "4", Minors: "1, 2", NoRpcbind: true}, "4.1"},
		{"4.0", ganesha.Options{Protocols: "4", Minors: "0"}, "4.0"},
		{"3", ganesha.Options{Protocols: "3"}, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := server(t, c.options)
			r := look(t, with(t, "{}"), "127.0.0.1:/export")
			want(t, r, probe.None, "")
			wantDF(t, r, s.Dir, c.sized)
		})
	}
}
