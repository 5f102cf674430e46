package s3_test

import (
	"errors"
	"flag"
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

	"log/slog"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	"github.com/colliehq/collie/internal/testkit/metricdoc"
	"github.com/colliehq/collie/internal/testkit/need"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everyKind gives modules that succeed and fail, and their targets.
func everyKind(t *testing.T) (modules map[string]probe.Module, targets map[string]string) {
	t.Helper()
	g, c := gateway(t)
	fill(t, c, "bucket")
	x, _ := running(t, &memory{})
	good := "endpoint: " + g.URL + "\n" + keys(t, s3test.AccessKey, s3test.SecretKey)
	modules = map[string]probe.Module{
		"s3": build(t, x, "s3", good), "s3_failed": build(t, x, "s3", good),
		"s3_canary": build(t, x, "s3_canary", good), "s3_canary_failed": build(t, x, "s3_canary", good),
	}
	await(t, modules["s3"], "bucket", func(r probe.Result) bool {
		running, _ := value(r, "probe_s3_listing_running")
		return known(r) && running == 0
	})
	return modules, map[string]string{"s3": "bucket", "s3_failed": "nosuch", "s3_canary": "bucket", "s3_canary_failed": "nosuch"}
}

func scrape(t *testing.T, at, module, target, accept string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/probe?"+url.Values{"module": {module}, "target": {target}}.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", resp.Status, text, err)
	}
	return string(text)
}

// unsteady are the values that differ from run to run.
var unsteady = regexp.MustCompile(`(?m)^(\S*(?:_seconds\S*|_total|_received_bytes|_budget_remaining_requests) )[0-9.e+-]+$`)

// TestExposition shows the whole scrape of each kind, which promtool and
// Prometheus' parser of OpenMetrics accept, and which the page explains.
func TestExposition(t *testing.T) {
	need.Program(t, "promtool")
	modules, targets := everyKind(t)
	s := httptest.NewServer(&probe.Handler{Modules: func() map[string]probe.Module { return modules }, Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	for name, target := range targets {
		body := scrape(t, s.URL, name, target, "text/plain")
		lint(t, name, body)
		open := count(t, textparse.NewOpenMetricsParser([]byte(scrape(t, s.URL, name, target, "application/openmetrics-text; version=1.0.0")), labels.NewSymbolTable()))
		if n := count(t, textparse.NewPromParser([]byte(body), labels.NewSymbolTable())); n != open || n < 20 {
			t.Errorf("%s: %d series, %d in OpenMetrics", name, n, open)
		}
		golden(t, name, unsteady.ReplaceAllString(body, "${1}T"))
	}
}

func lint(t *testing.T, name, body string) {
	t.Helper()
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

func count(t *testing.T, p textparse.Parser) (series int) {
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
			series++
		}
	}
}

func golden(t *testing.T, name, body string) {
	t.Helper()
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

func TestPage(t *testing.T) {
	metricdoc.Check(t, "../../docs/exporters/s3.md", "testdata/s3.prom", "testdata/s3_failed.prom", "testdata/s3_canary.prom", "testdata/s3_canary_failed.prom")
}

// FuzzAnswer: whatever a server answers, a probe is over and has a reason.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"))
	f.Add(403, []byte("<Error><Code>AccessDenied</Code></Error>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200 + max(status, -status)%400)
			_, _ = w.Write(body)
		}))
		defer s.Close()
		r := look(t, build(t, s3.New(s3.Options{}), "s3", "{endpoint: '"+s.URL+"', requests_per_hour: 10}"), "b")
		if r.Success != (r.Reason == probe.None) {
			t.Errorf("%+v", r)
		}
	})
}
