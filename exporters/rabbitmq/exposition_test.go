package rabbitmq

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/metricdoc"
	"github.com/colliehq/collie/internal/testkit/need"
)

var update = flag.Bool("update", false, "write the golden files and the table of metrics")

// scenes are a probe that has every metric, one without the management API, and
// one that fails.
func scenes(t *testing.T) (modules map[string]probe.Module, targets map[string]string, names *strings.Replacer) {
	t.Helper()
	one, two := newNode(t, "rabbit1@localhost"), newNode(t, "rabbit2@localhost")
	cluster(map[string]*fakeNode{"rabbit1@localhost": one, "rabbit2@localhost": two}, "rabbit3@localhost")
	one.answer("/api/nodes", strings.Replace(strings.ReplaceAll(recorded(t, "nodes.json"), "rabbit@mq1", "rabbit1@localhost"),
		"[", `[{"name":"rabbit2@localhost","running":true},{"name":"rabbit3@localhost","running":false},`, 1))
	two.status("/metrics/detailed", 500, "boom")
	alone := newNode(t, "rabbit@mq1")
	closed := refused(t)
	return map[string]probe.Module{
			"cluster": built(t, "max_queues: 5, "+login(one)), "alone": built(t, ""), "failed": built(t, "nodes: ['"+closed+"']"),
		}, map[string]string{
			"cluster": one.address(), "alone": alone.address(), "failed": closed,
		}, strings.NewReplacer(one.address(), "mq1:15692", two.address(), "mq2:15692", alone.address(), "mq1:15692", closed, "mq1:15692")
}

func scrape(t *testing.T, modules map[string]probe.Module, name, target, accept string) string {
	t.Helper()
	s := httptest.NewServer(&probe.Handler{Modules: func() map[string]probe.Module { return modules }, Log: nothing()})
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/probe?"+url.Values{"module": {name}, "target": {target}}.Encode(), http.NoBody)
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

func golden(name string) string { return filepath.Join("testdata", name+".prom") }

// TestGolden shows the whole scrapes, and holds the documentation to them.
func TestGolden(t *testing.T) {
	modules, targets, names := scenes(t)
	unsteady := regexp.MustCompile(`(?m)^(\S*duration_seconds(?:\{[^}]*\})? )[0-9.e+-]+$`)
	for name, target := range targets {
		body := scrape(t, modules, name, target, "text/plain")
		body = unsteady.ReplaceAllString(names.Replace(body), "${1}T")
		if *update {
			if err := os.WriteFile(golden(name), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden(name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), body); diff != "" {
			t.Errorf("%s differs (-update writes the new one):\n%s", golden(name), diff)
		}
	}
}

func TestDocumentation(t *testing.T) {
	metricdoc.Check(t, "../../docs/exporters/rabbitmq.md", golden("cluster"), golden("alone"))
}

func TestPromtoolIsContent(t *testing.T) {
	need.Program(t, "promtool")
	modules, targets, _ := scenes(t)
	for name, target := range targets {
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(scrape(t, modules, name, target, "text/plain"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestOpenMetrics expects the same series in both formats from Prometheus' own
// parsers.
func TestOpenMetrics(t *testing.T) {
	modules, targets, _ := scenes(t)
	for name, target := range targets {
		open := scrape(t, modules, name, target, "application/openmetrics-text; version=1.0.0")
		text := scrape(t, modules, name, target, "text/plain")
		a := parsed(t, textparse.NewOpenMetricsParser([]byte(open), labels.NewSymbolTable()))
		b := parsed(t, textparse.NewPromParser([]byte(text), labels.NewSymbolTable()))
		if diff := cmp.Diff(a, b); diff != "" || len(a) < 30 {
			t.Errorf("%s: %d series\n%s", name, len(a), diff)
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

// TestSeriesStayFew probes 10,000 random targets and servers with random texts
// and statuses: all failures have the same number of series, and no text of the
// other side is in one.
func TestSeriesStayFew(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.Query().Get("family")+randomText(200), 201+rand.IntN(350))
	}))
	t.Cleanup(s.Close)
	m := built(t, "username: u, password: p, management: ["+s.URL+"]")
	label := regexp.MustCompile(`endpoint="[^"]*"`)
	first, name := "", ""
	for i := range 10_000 {
		target := "mq" + fmt.Sprint(i) + ".example"
		switch i % 4 {
		case 0:
			target = s.URL
		case 1:
			target = "127.0.0.1:1/" + url.PathEscape(randomText(20))
		}
		ctx, cancel := context.WithTimeout(t.Context(), guard)
		r := probe.Run(ctx, m, probe.Request{Target: target, Resolver: noNames{}, Dial: probe.GuardMetadata})
		cancel()
		if r.Success {
			t.Fatalf("%q succeeded", target)
		}
		var names []string
		for _, f := range r.Metrics.Families() {
			for _, sample := range f.Samples {
				text := f.Name
				for _, l := range sample.Labels {
					text += fmt.Sprintf(",%s=%q", l.Name, l.Value)
				}
				names = append(names, label.ReplaceAllString(text, "endpoint=E"))
			}
		}
		all := strings.Join(names, "\n")
		if first == "" {
			first, name = all, target
			t.Logf("%d series", len(names))
		}
		if all != first {
			t.Fatalf("%q and %q differ:\n%s", name, target, cmp.Diff(first, all))
		}
	}
}

func randomText(longest int) string {
	var b strings.Builder
	for range rand.IntN(longest) {
		b.WriteByte(byte(rand.IntN(256)))
	}
	return b.String()
}

// TestHostileNames bounds what a server that lies can make of us.
func TestHostileNames(t *testing.T) {
	n := newNode(t, "n")
	long := strings.Repeat("x", 100_000)
	n.answer("/metrics/detailed", detailed("n"+long, map[string]int{long: 1, "q\xff\"{}": 2}))
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf(`{"name":"n%d","running":true}`, i))
	}
	n.answer("/api/nodes", "["+strings.Join(many, ",")+"]")
	began := time.Now()
	r := probed(t, built(t, login(n)), n.address())
	if got := len(series(r)); got > 100 {
		t.Errorf("%d series", got)
	}
	for name := range series(r) {
		if len(name) > 2*maxName {
			t.Errorf("a series of %d bytes", len(name))
		}
	}
	t.Logf("took %s", time.Since(began))
}
