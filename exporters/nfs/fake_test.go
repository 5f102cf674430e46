package nfs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/rpcserver"
)

// simulated starts a simulated NFS server.
func simulated(t testing.TB) *rpcserver.NFS {
	t.Helper()
	n, err := rpcserver.StartNFS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// at gives a module for a simulated server, all of which is at one port.
func at(t testing.TB, n *rpcserver.NFS, options string) probe.Module {
	t.Helper()
	return with(t, fmt.Sprintf("{ports: {nfs: %d, rpcbind: %d}, %s}", n.Port, n.Port, options))
}

// wantClean expects that nothing of ours is left on the server.
func wantClean(t testing.TB, n *rpcserver.NFS, r probe.Result) {
	t.Helper()
	if mounts, clients := n.Left(); mounts != 0 || clients != 0 {
		t.Errorf("%d mounts and %d client ids are left; the server did %s", mounts, clients, n.Steps())
	}
	wantSeries(t, r, map[string]string{"probe_nfs_leftovers": "0"})
}

func TestSizesByEveryVersion(t *testing.T) {
	n := simulated(t)
	r := look(t, at(t, n, "versions: [3, 4.0, 4.1, 4.2]"), "localhost:/export/builds")
	want(t, r, probe.None, "")
	wantClean(t, n, r)
	for _, v := range []string{"3", "4.0", "4.1", "4.2"} {
		label := `{version="` + v + `"}`
		wantSeries(t, r, map[string]string{
			"probe_nfs_size_bytes" + label: "1.048576e+09", "probe_nfs_free_bytes" + label: "6.291456e+08", "probe_nfs_avail_bytes" + label: "5.24288e+08",
			"probe_nfs_files" + label: "1000", "probe_nfs_files_free" + label: "900", "probe_nfs_files_avail" + label: "800", "probe_nfs_size_read" + label: "1",
		})
	}
}

// TestVersions tells which versions have to work.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		name    string
		server  func(n *rpcserver.NFS)
		options string
		target  string
		reason  probe.Reason
		cause   string
	}{
		{"all, no path", func(*rpcserver.NFS) {}, "", "localhost", probe.None, ""},
		{"3 only is enough", func(n *rpcserver.NFS) { n.Minors = nil }, "", "localhost:/home", probe.None, ""},
		{"4 only is enough", func(n *rpcserver.NFS) { n.NoV3 = true }, "", "localhost:/home", probe.None, ""},
		{"4.1 only is enough", func(n *rpcserver.NFS) { n.NoV3, n.Minors = true, []uint32{1} }, "", "localhost:/home", probe.None, ""},
		{"3 is wanted", func(n *rpcserver.NFS) { n.NoV3 = true }, "versions: [3, 4.0]", "localhost", probe.Status, "NULL of nfs3: the server speaks versions 4 to 4 only"},
		{"4 is wanted", func(n *rpcserver.NFS) { n.Minors = nil }, "versions: 4", "localhost", probe.Status, "NULL of nfs4: the server speaks versions 3 to 3 only"},
		{"4.0 is wanted", func(n *rpcserver.NFS) { n.Minors = []uint32{1, 2} }, "versions: [4.0]", "localhost", probe.Status, "version 4.0 is not served"},
		{"no path anywhere", func(*rpcserver.NFS) {}, "", "localhost:/nowhere", probe.Status, "noent"},
		{"no path in 4", func(*rpcserver.NFS) {}, "path_v4: /nowhere, versions: [3, 4.0]", "localhost:/export", probe.Status, `size by version 4.0: at "nowhere": noent`},
		{"no path in 4 is enough", func(*rpcserver.NFS) {}, "path_v4: /nowhere", "localhost:/export", probe.None, ""},
		{"size is not required", func(*rpcserver.NFS) {}, "require_size: false", "localhost:/nowhere", probe.None, ""},
		{"size is required", func(*rpcserver.NFS) {}, "require_size: true", "localhost", probe.Protocol, "needs a path"},
		{"path of the module", func(*rpcserver.NFS) {}, "path: /export, require_size: true", "localhost", probe.None, ""},
		{"without rpcbind", func(*rpcserver.NFS) {}, "versions: 3", "localhost:/export", probe.None, ""},
		{"little is free", func(n *rpcserver.NFS) { n.Avail = 10 << 20 }, "min_free_ratio: 5%", "localhost:/export", probe.Quota, "by version 3, 1.00 % of the space is free, at least 5.00 %"},
		{"few bytes are free", func(n *rpcserver.NFS) { n.Avail = 10 }, "min_free_bytes: 1KB", "localhost:/export", probe.Quota, "10 bytes are free, at least 1024"},
		{"few inodes are free", func(n *rpcserver.NFS) { n.FilesAvail = 1 }, "min_free_inodes_ratio: 0.01", "localhost:/export", probe.Quota, "0.10 % of the inodes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := simulated(t)
			c.server(n)
			r := look(t, at(t, n, c.options), c.target)
			want(t, r, c.reason, c.cause)
			wantClean(t, n, r)
		})
	}
}

// TestStatuses tells what the statuses of each step become.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		step    string
		code    uint32
		version string
		reason  probe.Reason
		status  string
	}{
		{"fsstat", 70, "3", probe.Stale, "stale"},
		{"fsstat", 10001, "3", probe.Stale, "stale"},
		{"fsstat", 5, "3", probe.Status, "io"},
		{"fsstat", 10008, "3", probe.Status, "delay"},
		{"fsstat", 99, "3", probe.Status, "other"},
		{"mnt", 1, "3", probe.Auth, "perm"},
		{"mnt", 2, "3", probe.Status, "noent"},
		{"mnt", 13, "3", probe.Auth, "access"},
		{"mnt", 20, "3", probe.Status, "notdir"},
		{"mnt", 63, "3", probe.Status, "nametoolong"},
		{"mnt", 10006, "3", probe.Status, "serverfault"},
		{"lookup", 10029, "4.0", probe.Status, "symlink"},
		{"lookup", 13, "4.0", probe.Auth, "access"},
		{"lookup", 70, "4.0", probe.Stale, "stale"},
		{"getattr", 10008, "4.0", probe.Status, "delay"},
		{"getattr", 10013, "4.0", probe.Status, "grace"},
		{"getattr", 69, "4.0", probe.Quota, "quota"},
		{"getattr", 10016, "4.0", probe.Auth, "auth"},
		{"getattr", 10004, "4.0", probe.Status, "notsupp"},
		{"exchange_id", 10006, "4.1", probe.Status, "serverfault"},
		{"create_session", 10022, "4.1", probe.Status, "session"},
		{"sequence", 10052, "4.1", probe.Status, "session"},
		{"getattr", 10008, "4.1", probe.Status, "delay"},
	} {
		t.Run(fmt.Sprint(c.step, c.code, "by", c.version), func(t *testing.T) {
			n := simulated(t)
			n.On(c.step, rpcserver.Reaction{Status: c.code})
			r := look(t, at(t, n, "privileged_port: never, versions: ["+c.version+"]"), "localhost:/export")
			want(t, r, c.reason, "")
			wantClean(t, n, r)
			for name, value := range series(r) {
				if strings.HasPrefix(name, "probe_nfs_error{") && (value == "1") != strings.Contains(name, `"`+c.status+`"`) {
					t.Errorf("%s is %s, want status %s", name, value, c.status)
				}
			}
		})
	}
}

// TestDelayIsWaitedFor asks again where the server needs a moment.
func TestDelayIsWaitedFor(t *testing.T) {
	for step, version := range map[string]string{"fsstat": "3", "lookup": "4.0", "getattr": "4.1"} {
		n := simulated(t)
		n.On(step, rpcserver.Reaction{Status: 10008, Times: 2})
		r := look(t, at(t, n, "versions: ["+version+"]"), "localhost:/export")
		want(t, r, probe.None, "")
		wantClean(t, n, r)
	}
}

// TestPartialData keeps what is known when something fails.
func TestPartialData(t *testing.T) {
	n := simulated(t)
	n.On("fsstat", rpcserver.Reaction{Raw: func(c rpcserver.Call) []byte { return rpcserver.Deny(c, 5) }})
	r := look(t, at(t, n, "privileged_port: never, versions: [3, 4.0]"), "localhost:/export")
	want(t, r, probe.Auth, "size by version 3: the server refuses our credentials: too weak")
	wantSeries(t, r, map[string]string{
		`probe_nfs_answered{service="nfs3"}`: "1", `probe_nfs_size_read{version="3"}`: "0", `probe_nfs_size_bytes{version="3"}`: "",
		`probe_nfs_size_bytes{version="4.0"}`: "1.048576e+09", "probe_nfs_exports": "2", `probe_nfs_error{status="auth"}`: "1",
	})
}

// TestSilence: a service that says nothing costs the time that there is, the
// others keep their results, and what can be put away is.
func TestSilence(t *testing.T) {
	const limit = 3 * time.Second
	for _, c := range []struct {
		step, options, cause string
		known                map[string]string
		leaves               string
	}{
		{"null3", "versions: [3, 4.0]", "NULL of nfs3: no answer in time", map[string]string{`probe_nfs_connected{service="nfs3"}`: "1", `probe_nfs_answered{service="nfs4"}`: "1", `probe_nfs_size_read{version="4.0"}`: "1"}, "0"},
		{"null4", "versions: [3, 4.0]", "NULL of nfs4: no answer in time", map[string]string{`probe_nfs_connected{service="nfs4"}`: "1", `probe_nfs_answered{service="nfs3"}`: "1", `probe_nfs_size_read{version="3"}`: "1"}, "0"},
		{"dump", "versions: 3", "list of rpcbind: no answer in time", map[string]string{`probe_nfs_answered{service="nfs3"}`: "1"}, "0"},
		{"mountnull", "versions: 3", "NULL of mount: no answer in time", map[string]string{`probe_nfs_answered{service="nfs3"}`: "1", `probe_nfs_connected{service="mount"}`: "1"}, "0"},
		{"mnt", "versions: 3", "mount /export by version 3: no answer in time", nil, "0"},
		{"umnt", "versions: 3, require_size: false", "", map[string]string{`probe_nfs_size_read{version="3"}`: "1"}, "1"},
		{"fsstat", "versions: 3", "size by version 3: no answer in time", nil, "0"},
		{"getattr", "versions: 4.1", "size by version 4.1: no answer in time", nil, "0"},
		{"create_session", "versions: 4.1", "make a session: no answer in time", nil, "1"},
	} {
		t.Run(c.step, func(t *testing.T) {
			t.Parallel()
			n := simulated(t)
			n.On(c.step, rpcserver.Reaction{Silent: true})
			m := at(t, n, c.options)
			start := time.Now()
			r := lookFor(t, m, "localhost:/export", limit)
			if took := time.Since(start); took > 20*limit {
				t.Errorf("took %s", took)
			}
			if c.cause != "" {
				want(t, r, probe.Timeout, c.cause)
			}
			wantSeries(t, r, c.known)
			wantSeries(t, r, map[string]string{"probe_nfs_leftovers": c.leaves})
			if mounts, clients := n.Left(); c.leaves == "0" && mounts+clients != 0 {
				t.Errorf("%d mounts, %d client ids are left; the server did %s", mounts, clients, n.Steps())
			}
		})
	}
}

// TestScraperLeaves: when nobody waits for the answer any more, the probe ends,
// and takes with it what it made on the server.
func TestScraperLeaves(t *testing.T) {
	for _, version := range []string{"3", "4.1"} {
		n := simulated(t)
		asked := make(chan struct{}, 2)
		silent := rpcserver.Reaction{Raw: func(rpcserver.Call) []byte {
			asked <- struct{}{}
			return nil
		}}
		n.On("mnt", silent)
		n.On("getattr", silent)
		m := at(t, n, "versions: ["+version+"]")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		start := time.Now()
		r := probe.Run(ctx, m, probe.Request{Target: "localhost:/export", Resolver: names{"localhost": {"127.0.0.1"}}})
		want(t, r, probe.Timeout, "the probe was cancelled")
		wantClean(t, n, r)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
	}
}

// TestWhatWasLeftIsReplaced: a session that could not be put away is replaced
// by that of the next probe, so that they do not pile up.
func TestWhatWasLeftIsReplaced(t *testing.T) {
	n := simulated(t)
	m := at(t, n, "versions: 4.1")
	n.On("create_session", rpcserver.Reaction{Silent: true, Times: 1})
	want(t, lookFor(t, m, "localhost:/export", time.Second), probe.Timeout, "")
	if _, clients := n.Left(); clients != 1 {
		t.Fatalf("%d client ids are left", clients)
	}
	r := look(t, m, "localhost:/export")
	want(t, r, probe.None, "")
	wantClean(t, n, r)
}

// TestGetport asks for each program where rpcbind does not tell its list.
func TestGetport(t *testing.T) {
	n := simulated(t)
	n.On("dump", rpcserver.Reaction{Raw: func(c rpcserver.Call) []byte { return rpcserver.Refuse(c, 3) }})
	want(t, look(t, at(t, n, "versions: 3"), "localhost:/export"), probe.None, "")
	if !slices.Contains(n.Steps(), "getport") {
		t.Errorf("the server did %s", n.Steps())
	}
}

// TestWithoutRpcbind does with a port that is given.
func TestWithoutRpcbind(t *testing.T) {
	n := simulated(t)
	m := with(t, fmt.Sprintf("{ports: {nfs: %d, mount: %d, rpcbind: 0}, versions: 3}", n.Port, n.Port))
	r := look(t, m, "localhost:/export")
	want(t, r, probe.None, "")
	wantSeries(t, r, map[string]string{`probe_nfs_connected{service="rpcbind"}`: "", `probe_nfs_answered{service="mount"}`: "1"})
	m = with(t, fmt.Sprintf("{ports: {nfs: %d, rpcbind: 1}, versions: 3}", n.Port))
	r = look(t, m, "localhost:/export")
	want(t, r, probe.Refused, "find mountd, which NFS 3 needs: connect to rpcbind")
	r = look(t, m, "localhost")
	want(t, r, probe.None, "")
}

// TestExportBudget shows the first exports and counts the others.
func TestExportBudget(t *testing.T) {
	n := simulated(t)
	n.Exports = nil
	for i := range 100 {
		n.Exports = append(n.Exports, fmt.Sprintf("/e%02d", 99-i))
	}
	r := look(t, at(t, n, "max_exports: 2"), "localhost")
	wantSeries(t, r, map[string]string{
		"probe_nfs_exports": "100", "probe_nfs_exports_dropped": "98", `probe_nfs_export_info{export="/e00"}`: "1", `probe_nfs_export_info{export="/e01"}`: "1", `probe_nfs_export_info{export="/e02"}`: "",
	})
	r = look(t, at(t, n, "max_exports: 0"), "localhost")
	wantSeries(t, r, map[string]string{"probe_nfs_exports": ""})
	if slices.Contains(n.Steps()[len(n.Steps())-8:], "export") {
		t.Error("exports were asked for though none are shown")
	}
}
