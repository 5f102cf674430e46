package nfs_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/metricdoc"
	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/internal/testkit/rpcserver"
)

// shown are the probes whose scrapes are kept: one with every metric, one of a
// server that says nothing.
func shown(t *testing.T) (modules map[string]probe.Module, targets map[string]string) {
	t.Helper()
	good, bad := simulated(t), simulated(t)
	good.Exports = append(good.Exports, "/scratch\nwith \"odd\" \xff characters", "/"+strings.Repeat("long/", 50))
	for _, step := range []string{"null3", "null4"} {
		bad.On(step, rpcserver.Reaction{Raw: func(c rpcserver.Call) []byte { return rpcserver.Deny(c, 5) }})
	}
	return map[string]probe.Module{"nfs": at(t, good, "versions: [3, 4.0, 4.1], max_exports: 3"), "nfs_failed": at(t, bad, "privileged_port: never")},
		map[string]string{"nfs": "localhost:/export", "nfs_failed": "localhost:/export"}
}

func scrape(t *testing.T, accept string) map[string]string {
	t.Helper()
	modules, targets := shown(t)
	s := httptest.NewServer(&probe.Handler{
		Modules: func() map[string]probe.Module { return modules }, Resolver: names{"localhost": {"127.0.0.1"}}, Log: testLog(t),
	})
	t.Cleanup(s.Close)
	all := map[string]string{}
	for name, target := range targets {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/probe?"+url.Values{"module": {name}, "target": {target}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %v: %s", resp.Status, err, body)
		}
		all[name] = string(body)
	}
	return all
}

func TestPromtoolIsContent(t *testing.T) {
	need.Program(t, "promtool")
	for name, body := range scrape(t, "text/plain") {
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestOpenMetrics(t *testing.T) {
	text := scrape(t, "text/plain")
	for name, body := range scrape(t, "application/openmetrics-text; version=1.0.0") {
		open := parsed(t, textparse.NewOpenMetricsParser([]byte(body), labels.NewSymbolTable()))
		if diff := cmp.Diff(parsed(t, textparse.NewPromParser([]byte(text[name]), labels.NewSymbolTable())), open); diff != "" || len(open) < 50 {
			t.Errorf("%s: %d series\n%s", name, len(open), diff)
		}
	}
}

func parsed(t *testing.T, p textparse.Parser) (series []string) {
	t.Helper()
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return series
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry == textparse.EntrySeries {
			name, _, _ := p.Series()
			series = append(series, string(name))
		}
	}
}

// unsteady are the values that differ from run to run, or from one machine to
// another.
var unsteady = regexp.MustCompile(`(?m)^(\S*(?:_seconds|_port|_sent_bytes|_received_bytes)(?:\{.*\})? )[1-9][0-9.e+-]*$|^(probe_\S*duration_seconds(?:\{.*\})? )[0-9.e+-]+$`)

func TestGolden(t *testing.T) {
	for name, body := range scrape(t, "text/plain") {
		body = unsteady.ReplaceAllString(body, "${1}${2}T")
		file := filepath.Join("testdata", name+".prom")
		if *update {
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		expected, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(expected), body); diff != "" {
			t.Errorf("%s differs (-update writes the new one):\n%s", file, diff)
		}
	}
}

// TestPage holds the page's table of metrics against the golden files.
func TestPage(t *testing.T) {
	metricdoc.Check(t, "../../docs/exporters/nfs.md", "testdata/nfs.prom", "testdata/nfs_failed.prom")
}
