//go:build amd64 && !goexperiment.simd

package match

import (
	"os"
	"os/exec"
	"testing"
)

// TestWithSIMD runs the tests of this package once more, built with the SIMD
// path. On a processor that lacks the instructions they try the portable path
// twice.
func TestWithSIMD(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package again")
	}
	c := exec.CommandContext(t.Context(), "go", "test", "-count=1", ".")
	c.Env = append(os.Environ(), "GOEXPERIMENT=simd", "GOFLAGS=")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("GOEXPERIMENT=simd go test: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
