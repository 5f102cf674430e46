package alerting

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/internal/testkit/promserver"
	"github.com/colliehq/collie/signal"
)

// Debian's Alertmanager decides, and its webhook reaches us.
func TestOutsideAlertmanager(t *testing.T) {
	t.Parallel()
	need.Program(t, "prometheus-alertmanager")
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	dir := t.TempDir()
	r := newRig(t, dir, func(c *Config) { c.AlertmanagerURLs = []string{"http://" + address} })
	r.states.set("web", "up")
	r.start()
	file := filepath.Join(dir, "outside.yml")
	write(t, file, fmt.Sprintf(`
route: {receiver: people, group_by: [alertname], group_wait: 100ms, group_interval: 500ms, repeat_interval: 1h}
receivers: [{name: people, webhook_configs: [{url: %shook/alertmanager}]}]
`, r.url))
	p, err := launch.Start(launch.Options{Dir: dir}, "prometheus-alertmanager", "--config.file="+file,
		"--storage.path="+filepath.Join(dir, "am"), "--web.listen-address="+address, "--cluster.listen-address=")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.End(10 * time.Second) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := launch.AwaitHTTP(ctx, "http://"+address+"/-/ready", "", p); err != nil {
		t.Fatal(err)
	}
	r.ready()
	r.states.set("web", "down")
	fired := r.expect("Down", "web", signal.Firing)
	if a, err := fired.Alert(); err != nil || a.Receiver != "people" {
		t.Errorf("told %+v, %v", a, err)
	}
	alerts, err := r.alerting.Alerts(ctx)
	if err != nil || len(alerts) == 0 {
		t.Errorf("Alerts: %+v, %v", alerts, err)
	}
	r.states.set("web", "up")
	resolved := r.expect("Down", "web", signal.Resolved)
	if resolved.Subject != fired.Subject {
		t.Errorf("resolved %s after %s", resolved.Subject, fired.Subject)
	}
}

// Debian's Prometheus evaluates, and our Alertmanager decides.
func TestOutsidePrometheus(t *testing.T) {
	t.Parallel()
	need.Program(t, "prometheus")
	dir := t.TempDir()
	r := newRig(t, dir, func(c *Config) { c.PrometheusURL = "http://127.0.0.1:9090" })
	r.states.set("web", "down")
	r.start().ready()
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := promserver.Start(ctx, t.TempDir(), fmt.Sprintf(`
global: {scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 300ms}
rule_files: [%s]
alerting: {alertmanagers: [{path_prefix: /alertmanager, static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: collie-targets, metrics_path: /targets/metrics, honor_labels: true, static_configs: [{targets: [%q]}]}]
`, r.cfg.RuleFiles[0], u.Host, u.Host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r.expect("Down", "web", signal.Firing)
	r.states.set("web", "up")
	r.expect("Down", "web", signal.Resolved)
}
