package alerting

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/signal"
)

// tool runs a program and returns what it printed.
func tool(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out) + stderr.String(), err
	}
	return string(out), nil // amtool warns there of every other version
}

func mustTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := tool(t, "", name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(out)
}

// Debian's tools talk to us as to a server.
func TestStockTools(t *testing.T) {
	t.Parallel()
	need.Program(t, "amtool", "promtool")
	r := newRig(t, t.TempDir(), nil)
	r.states.set("web", "down")
	r.start().ready()
	r.expect("Down", "web", signal.Firing)
	am := "--alertmanager.url=" + r.url + "alertmanager"

	if out := mustTool(t, "amtool", am, "alert", "query", "target=web"); !strings.Contains(out, "Down") {
		t.Errorf("amtool alert query: %s", out)
	}
	id := mustTool(t, "amtool", am, "silence", "add", "--author=test", "--comment=test", "--duration=1h", "target=web")
	if out := mustTool(t, "amtool", am, "silence", "query"); !strings.Contains(out, id) {
		t.Errorf("amtool silence query: %s, want %s", out, id)
	}
	alerts, err := r.alerting.Alerts(context.Background())
	if err != nil || len(alerts) != 1 || alerts[0].State != "suppressed" || alerts[0].SilencedBy[0] != id || alerts[0].Receivers[0] != "people" {
		t.Errorf("Alerts: %+v, %v", alerts, err)
	}
	mustTool(t, "amtool", am, "silence", "expire", id)
	if out := mustTool(t, "amtool", am, "silence", "query"); strings.Contains(out, id) {
		t.Errorf("amtool silence query after expire: %s", out)
	}
	if out := mustTool(t, "promtool", "query", "instant", r.url, `collie_target_state{state="down"}`); !strings.Contains(out, `target="web"`) || !strings.Contains(out, "=> 1 @") {
		t.Errorf("promtool query instant: %s", out)
	}
	mustTool(t, "promtool", "query", "labels", r.url, "job")
}

// What amtool adds reaches people, and ends as its maker says.
func TestPostedAlert(t *testing.T) {
	t.Parallel()
	need.Program(t, "amtool")
	r := newRig(t, t.TempDir(), nil).start()
	r.ready()
	am := "--alertmanager.url=" + r.url + "alertmanager"
	mustTool(t, "amtool", am, "alert", "add", "--end="+time.Now().Add(3*time.Second).Format(time.RFC3339), "Posted", "target=x")
	r.expect("Posted", "x", signal.Firing)
	r.expect("Posted", "x", signal.Resolved)
}

func TestSelfMetricsAreClean(t *testing.T) {
	t.Parallel()
	need.Program(t, "promtool")
	r := newRig(t, t.TempDir(), nil)
	r.states.set("web", "down")
	r.start().ready()
	r.expect("Down", "web", signal.Firing)
	_, text := request(t, "GET", r.url+"metrics", "")
	if !strings.Contains(text, "alertmanager_notifications_total") || !strings.Contains(text, "prometheus_tsdb_head_series") {
		t.Fatalf("metrics of the engines are missing:\n%s", text)
	}
	out, err := tool(t, text, "promtool", "check", "metrics")
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestDefaultConfigurationIsAmtools(t *testing.T) {
	t.Parallel()
	need.Program(t, "amtool")
	out := mustTool(t, "amtool", "check-config", filepath.Join("manager", "default.yml"))
	if !strings.Contains(out, "SUCCESS") {
		t.Errorf("amtool check-config: %s", out)
	}
}
