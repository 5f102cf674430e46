package nfs_test

import (
	"os"
	"testing"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/ganesha"
)

func server(t *testing.T, o ganesha.Options) *ganesha.Server {
	t.Helper()
	s, err := ganesha.Start(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestTry(t *testing.T) {
	if !ganesha.Inside(t) {
		return
	}
	server(t, ganesha.Options{})
	for i, x := range [][2]string{
		{"{}", "127.0.0.1"}, {"{}", "127.0.0.1:/export"}, {"{versions: [3, 4.0, 4.1, 4.2]}", "127.0.0.1:/export/builds"}, {"{}", "127.0.0.1:/wrong"}, {"{}", "127.0.0.1:/export/wrong"},
		{"{privileged_port: never}", "127.0.0.1:/secure"}, {"{}", "127.0.0.1:/secure"}, {"{}", "127.0.0.1:/private"}, {"{versions: 3}", "127.0.0.1:/private"}, {"{versions: 3}", "127.0.0.1:/wrong"}, {"{versions: 3}", "127.0.0.1:/export/wrong"}, {"{versions: 3}", "127.0.0.1:/secure"}, {"{versions: 4}", "127.0.0.1:/secure"}, {"{versions: 4.1}", "127.0.0.1:/wrong"}, {"{}", "127.0.0.1:2050"},
	} {
		r := look(t, with(t, x[0]), x[1])
		t.Log(x, r.Success, r.Reason, r.Cause, "\n", r.Evidence)
		if i >= 0 {
			continue
		}
		_, _ = os.Stderr.Write(probe.AppendText(nil, r.Metrics.Families()))
	}
}
