package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/ganesha"
)

// cmdNFSd starts a real NFS server in a network of its own, in which it runs
// as process "nfsd". $INSIDE is the process by which nsenter finds the network,
// $EXPORT the directory behind /export there. Connections to the ports on
// loopback are passed on to the same ports inside.
func cmdNFSd(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) == 0 || args[0] != "start" {
		return usageError("nfsd start [PORT...]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	namespace, err := ganesha.NewNamespace(ctx)
	if err != nil {
		return err
	}
	ts.Defer(func() { _ = namespace.Close() })
	dir := filepath.Join(s.dir, "nfsd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	server, err := ganesha.Start(ctx, dir, ganesha.Options{Namespace: namespace})
	if err != nil {
		return err
	}
	ts.Defer(func() { _ = server.Close() })
	s.procs["nfsd"] = server.Process()
	ts.Setenv("EXPORT", server.Dir)
	ts.Setenv("INSIDE", strconv.Itoa(namespace.PID()))
	for _, port := range args[1:] {
		n, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		if err := namespace.Forward(n); err != nil {
			return err
		}
	}
	return nil
}

// cmdSameSize holds the sizes in an exposition against what df said, for each
// of the versions of NFS.
func cmdSameSize(ts *testscript.TestScript, _ *stage, args []string) error {
	if len(args) < 3 {
		return usageError("samesize DF.txt METRICS.txt VERSION...")
	}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	numbers := strings.Fields(lines[len(lines)-1])
	if len(numbers) != 2 {
		return usageError("df -B1 --output=size,avail")
	}
	exposed := strings.Split(ts.ReadFile(args[1]), "\n")
	for i, name := range []string{"size", "avail"} {
		bytes, err := strconv.ParseFloat(numbers[i], 64)
		if err != nil {
			return err
		}
		for _, version := range args[2:] {
			want := fmt.Sprintf("probe_nfs_%s_bytes{version=%q} %s", name, version, strconv.FormatFloat(bytes, 'g', -1, 64))
			if !slices.Contains(exposed, want) {
				return fmt.Errorf("%s has no line %s", args[1], want)
			}
			ts.Logf("%s", want)
		}
	}
	return nil
}
