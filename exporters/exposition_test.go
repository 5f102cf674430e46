package exporters

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/exporters/probe"
)

var update = flag.Bool("update", false, "write the golden files")

// exampleWorld is up: a target that is down, one that is up, and a heartbeat.
func exampleWorld(w *world) {
	w.breaks("web:80")
	w.up(configOf(
		targetOf("web", func(c *TargetConfig) { c.Tier, c.DependsOn = "essential", []string{"net", "cron"} }),
		targetOf("net", func(c *TargetConfig) { c.Target = `a "quoted" address` }),
		heartbeatOf("cron", time.Hour, time.Minute),
	))
	w.after(time.Minute)
}

func TestTargetsMetrics(t *testing.T) {
	var got string
	inWorld(t, func(w *world) {
		exampleWorld(w)
		r := w.call(http.MethodGet, "/targets/metrics")
		got = r.Body.String()
		if ct := r.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
			t.Errorf("content type %q", ct)
		}
		open := w.call(http.MethodGet, "/targets/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
		if !strings.HasPrefix(open.Header().Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(open.Body.String(), "# EOF\n") {
			t.Errorf("OpenMetrics is not negotiated: %s", open.Header())
		}
	})
	golden(t, "testdata/targets.metrics", got)
	lint(t, got)
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it:\n%s", path, diff)
	}
}

// promtool runs it, outside of any bubble: it is a real process.
func promtool(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed: apt install prometheus")
		}
		t.Skip("promtool is not installed")
	}
	c := exec.CommandContext(t.Context(), path, args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	return string(out), err
}

func lint(t *testing.T, exposition string) {
	t.Helper()
	if out, err := promtool(t, exposition, "check", "metrics"); err != nil || out != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// The scrape file that we ship is one that Prometheus takes.
func TestShippedScrapeFile(t *testing.T) {
	if out, err := promtool(t, "", "check", "config", "../docs/prometheus.yml"); err != nil {
		t.Errorf("promtool check config: %v\n%s", err, out)
	}
}

func TestOwnMetricsLint(t *testing.T) {
	inWorld(t, func(w *world) {
		exampleWorld(w)
		problems, err := testutil.GatherAndLint(w.registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
		for series, want := range map[string]float64{
			"collie_exporter_targets,up": 1, "collie_exporter_targets,down": 1, "collie_exporter_targets,unknown": 1,
			"collie_exporter_targets,unreachable": 0, "collie_exporter_blind_total,stall": 0,
		} {
			if got := w.own(series); got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
		if p, f := w.own("collie_exporter_probes_total,tcp"), w.own("collie_exporter_probe_failures_total,tcp"); p < 12 || f < 6 || f >= p {
			t.Errorf("%v probes, %v failures", p, f)
		}
	})
}

// Whatever answers the targets give, the number of series stays.
func TestSeriesDoNotGrow(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web"), targetOf("other")))
		w.after(time.Minute)
		before := strings.Count(w.metrics(), "\n")
		for i := range 50 {
			r := probe.Fail(probe.Metrics{}, probe.Reasons()[i%len(probe.Reasons())], strings.Repeat("x", i))
			w.set("web:80", r)
			w.after(10 * time.Second)
			if n := strings.Count(w.metrics(), "\n"); n != before {
				t.Fatalf("%d lines, before %d", n, before)
			}
		}
	})
}

// What was seen before we were blind is not shown after it.
func TestBlindShowsNoResults(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web", func(c *TargetConfig) { c.Every = time.Minute })))
		w.after(3 * time.Second)
		if !strings.Contains(w.metrics(), "probe_success{") {
			t.Fatal("no result is shown")
		}
		w.disk.set(func() { w.disk.full = true })
		w.mu.Lock()
		w.takes = 5 * time.Second
		w.mu.Unlock()
		w.freeze(time.Minute)
		w.after(tickEvery)
		if strings.Contains(w.metrics(), "probe_success{") {
			t.Error("a result of before the stall is shown")
		}
	})
}

func TestDiscovery(t *testing.T) {
	type entry = map[string]any
	labels := func(module, address, name, tier string) map[string]any {
		return entry{
			"__scheme__": "http", "__metrics_path__": "/probe", "__param_module": module, "__param_target": address,
			"instance": address, "target": name, "tier": tier,
		}
	}
	inWorld(t, func(w *world) {
		exampleWorld(w)
		r := w.call(http.MethodGet, "/sd/targets")
		if ct := r.Header().Get("Content-Type"); ct != "application/json" { // http_sd demands exactly this
			t.Errorf("content type %q", ct)
		}
		var got []entry
		if err := json.Unmarshal(r.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := []entry{
			{"targets": []any{"collie.example:9797"}, "labels": labels("fake", "web:80", "web", "essential")},
			{"targets": []any{"collie.example:9797"}, "labels": labels("fake", `a "quoted" address`, "net", "necessary")},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("discovery (-want +got):\n%s", diff)
		}
		w.o.ExternalURL = "https://monitor.example/collie"
		if err := json.Unmarshal(w.call(http.MethodGet, "/sd/targets").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		l := got[0]["labels"].(entry)
		if diff := cmp.Diff([]any{"monitor.example"}, got[0]["targets"]); diff != "" || l["__scheme__"] != "https" || l["__metrics_path__"] != "/collie/probe" {
			t.Errorf("behind a proxy: %v", got[0])
		}
	})
}

func TestDiscoveryOfNothingIsAList(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf())
		if body := w.call(http.MethodGet, "/sd/targets").Body.String(); body != "[]\n" {
			t.Errorf("%q", body)
		}
	})
}

func TestProbePath(t *testing.T) {
	inWorld(t, func(w *world) {
		exampleWorld(w)
		before := w.disk.count()
		for path, want := range map[string]int{
			"/probe?module=fake&target=web:80":   http.StatusOK,
			"/probe?module=fake&target=other:80": http.StatusForbidden,
			"/probe?module=none&target=web:80":   http.StatusBadRequest,
		} {
			if r := w.call(http.MethodGet, path); r.Code != want {
				t.Errorf("%s: %d %s, want %d", path, r.Code, r.Body, want)
			}
		}
		c := w.cfg
		c.Probe.AdHoc = true
		if err := w.Reload(t.Context(), c, w.modules()); err != nil {
			t.Fatal(err)
		}
		if r := w.call(http.MethodGet, "/probe?module=fake&target=other:80"); r.Code != http.StatusOK {
			t.Errorf("with probe.ad_hoc: %d %s", r.Code, r.Body)
		}
		synctest.Wait()
		if n := w.disk.count(); n != before {
			t.Error("/probe touched the record")
		}
	})
}

func TestGuardOfConfiguredTargets(t *testing.T) {
	for _, tt := range []struct {
		target, dialled string
		allowed         bool
	}{
		{"http://169.254.169.254/", "169.254.169.254:80", true}, // written down by its owner
		{"fe80::1%eth0", "fe80::1%eth0", true},
		{"http://web.example/", "169.254.169.254:80", false}, // where it led
		{"http://192.0.2.1/", "169.254.169.254:80", false},
		{"http://192.0.2.1/", "192.0.2.1:80", true},
	} {
		if err := guardOf(tt.target)("tcp", tt.dialled); (err == nil) != tt.allowed {
			t.Errorf("%s dials %s: %v", tt.target, tt.dialled, err)
		}
	}
}
