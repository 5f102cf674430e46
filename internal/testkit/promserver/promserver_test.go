package promserver

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/testkit/faketarget"
	"github.com/colliehq/collie/internal/testkit/need"
)

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestServerScrapesAndAnswers(t *testing.T) {
	need.Program(t, "prometheus")
	target, err := faketarget.StartHTTP(0, http.StatusOK, "sheep{colour=\"black\"} 1\nsheep{colour=\"white\"} 99\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Stop() })
	s, err := Start(limit(t), t.TempDir(), fmt.Sprintf(`
scrape_configs:
  - job_name: flock
    scrape_interval: 200ms
    scrape_timeout: 200ms
    static_configs: [{targets: ["127.0.0.1:%d"]}]
`, target.Port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	got, err := s.Await(limit(t), `sheep{colour="white"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Sample{{Labels: map[string]string{
		"__name__": "sheep", "colour": "white", "job": "flock", "instance": fmt.Sprintf("127.0.0.1:%d", target.Port()),
	}, Value: 99}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Query(limit(t), "scalar(nothing)"); err != nil || len(got) != 1 || !math.IsNaN(got[0].Value) {
		t.Errorf("scalar: %v, %v", got, err)
	}
	if _, err := s.Query(limit(t), "sum("); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("bad expression: %v", err)
	}
}

func TestServerThatCannotStart(t *testing.T) {
	need.Program(t, "prometheus")
	if _, err := Start(limit(t), t.TempDir(), "sheep: 1\n"); err == nil || !strings.Contains(err.Error(), "field sheep not found") {
		t.Errorf("error %v", err)
	}
}

func TestPromtool(t *testing.T) {
	need.Program(t, "promtool")
	if err := CheckMetrics(limit(t), "# HELP sheep_total Sheep.\n# TYPE sheep_total counter\nsheep_total 1\n"); err != nil {
		t.Error(err)
	}
	if err := CheckMetrics(limit(t), "# TYPE sheep counter\nsheep 1\n"); err == nil || !strings.Contains(err.Error(), "no help text") {
		t.Errorf("error %v", err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	for text, ok := range map[string]bool{
		"groups: [{name: a, rules: [{alert: B, expr: up == 0}]}]\n": true,
		"groups: [{name: a, rules: [{alert: B, expr: up =}]}]\n":    false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckRules(limit(t), file); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
