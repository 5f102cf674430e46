package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colliehq/collie/internal/testkit/need"
)

// The same rules are for the engine inside and for the Prometheus of a
// distribution, which is years older: both promtools check them and run the
// cases in tests/.
func TestPromtoolOfTheSystem(t *testing.T) {
	need.Program(t, "promtool")
	tryRules(t, "promtool")
}

func TestPromtoolOfTheEngine(t *testing.T) {
	tryRules(t, enginePromtool(t))
}

func tryRules(t *testing.T, promtool string) {
	t.Helper()
	files, err := filepath.Glob("*.yml")
	if err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(promtool, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, files...)...))
	cases, err := filepath.Glob("tests/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(promtool, append([]string{"test", "rules"}, cases...)...))
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args[:min(3, len(cmd.Args))], " "), err, out)
	}
	return string(out)
}

// enginePromtool is the promtool of the version that is embedded, in bin/. It is
// built from that module's own go.mod, since it needs modules that Collie does
// not: some minutes, so only CI does it unasked.
func enginePromtool(t *testing.T) string {
	t.Helper()
	version, dir, ok := strings.Cut(strings.TrimSpace(run(t, exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "github.com/prometheus/prometheus"))), " ")
	if !ok {
		t.Fatal("go list does not say where the module of Prometheus is")
	}
	built, err := filepath.Abs("../../bin/promtool-" + version)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(built); err == nil {
		return built
	}
	if os.Getenv("CI") != "true" {
		t.Skipf("the promtool of the engine is not built: go build -C %s -o %s ./cmd/promtool", dir, built)
	}
	cmd := exec.Command("go", "build", "-C", dir, "-o", built, "./cmd/promtool")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	run(t, cmd)
	return built
}
