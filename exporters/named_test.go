package exporters

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// tellingKind is a kind of probe that fails with its options and its target.
func tellingKind() probe.Kind {
	return probe.Kind{Name: "telling", Build: func(node *yaml.Node, _ func(int, string, ...any)) probe.Func {
		options := map[string]string{}
		_ = node.Decode(&options) // written below
		return func(_ context.Context, r probe.Request) probe.Result {
			return probe.Fail(probe.Metrics{}, probe.Body, fmt.Sprintf("%v of %s", options, r.Target))
		}
	}}
}

func TestNamed(t *testing.T) {
	kind := tellingKind()
	var own yaml.Node
	if err := yaml.Unmarshal([]byte("{a: of the target}"), &own); err != nil {
		t.Fatal(err)
	}
	module := probe.Module{Name: "tell", Kind: kind.Name, Timeout: 20 * time.Second}
	module.Probe = kind.Build(&yaml.Node{}, nil)
	c := configOf(
		targetOf("plain", func(c *TargetConfig) { c.Probe = "tell" }),
		targetOf("own", func(c *TargetConfig) { c.Probe, c.With, c.Timeout = "tell", *own.Content[0], 3*time.Second }),
		heartbeatOf("cron", time.Hour, time.Minute),
	)
	for _, tt := range []struct {
		name, cause, err string
		timeout          time.Duration
	}{
		{"target/plain", "map[] of plain:80", "", 20 * time.Second}, // not shortened by the interval
		{"target/own", "map[a:of the target] of own:80", "", 3 * time.Second},
		{"target/cron", "", "heartbeat", 0},
		{"target/plane", "", `did you mean "target/plain"?`, 0},
	} {
		m, address, err := c.Named(tt.name, []probe.Module{module}, []probe.Kind{kind})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		r := probe.Run(t.Context(), m, probe.Request{Target: address})
		if r.Cause != tt.cause || m.Name != tt.name || m.Timeout != tt.timeout {
			t.Errorf("%s: %q, module %s within %s; want %q within %s", tt.name, r.Cause, m.Name, m.Timeout, tt.cause, tt.timeout)
		}
	}
}

// A configured target can be asked for by its name alone, with or without
// options of its own, also after a reload.
func TestProbePathOfATarget(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web"), targetOf("leaves"), heartbeatOf("cron", time.Hour, time.Minute)))
		check := func(path string, code int, text string) {
			t.Helper()
			if r := w.call(http.MethodGet, path); r.Code != code || !strings.Contains(r.Body.String(), text) {
				t.Errorf("%s: %d %s, want %d and %q", path, r.Code, r.Body, code, text)
			}
		}
		check("/probe?module=target/web", http.StatusOK, "probe_success 1")
		check("/probe?module=target/web&target=web:80", http.StatusOK, "probe_success 1")
		check("/probe?module=target/web&target=other:80", http.StatusForbidden, "not configured")
		check("/probe?module=target/leaves", http.StatusOK, "probe_success 1")
		check("/probe?module=target/cron", http.StatusBadRequest, "")
		check("/probe?module=fake", http.StatusBadRequest, "target is missing")
		if err := w.Reload(t.Context(), configOf(targetOf("web", func(c *TargetConfig) { c.Target = "moved:80" })), w.modules()); err != nil {
			t.Fatal(err)
		}
		w.breaks("moved:80")
		check("/probe?module=target/web", http.StatusOK, "probe_success 0")
		check("/probe?module=target/leaves", http.StatusBadRequest, "target")
	})
}
