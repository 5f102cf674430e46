package rules

import (
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

// enginePromtool is the promtool of the version that is embedded, which
// test/install builds.
func enginePromtool(t *testing.T) string {
	t.Helper()
	version := strings.TrimSpace(run(t, exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/prometheus/prometheus")))
	return need.Built(t, "promtool", version)
}
