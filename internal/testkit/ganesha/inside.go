package ganesha

import (
	"os"
	"regexp"
	"testing"

	"github.com/colliehq/collie/internal/testkit/need"
)

// Inside tells whether the test runs in a namespace of its own. If not, it runs
// the same test there as another process, and the caller returns.
func Inside(t testing.TB) bool {
	t.Helper()
	if IsInside() {
		return true
	}
	need.Program(t, Programs()...)
	if os.Getuid() != 0 {
		need.Missing(t, "this test makes a network namespace: run it as root")
	}
	cmd := Again(t.Context(), "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.count=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}
