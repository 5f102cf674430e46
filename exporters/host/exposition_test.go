package host_test

import (
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

	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
)

// everyKind gives a probe of each kind that succeeds, and one that fails after
// it has seen most.
func everyKind(t *testing.T) (modules map[string]probe.Module, targets map[string]string) {
	t.Helper()
	ca := newAuthority(t)
	modules = load(t, strings.ReplaceAll(`modules:
  http: {prober: http, http: {tls_config: {ca_file: CA}}}
  http_failed: {prober: http, http: {valid_status_codes: [204]}}
  tcp: {prober: tcp, tcp: {query_response: [{expect: "^220 (.*)$", labels: [{name: banner, value: "${1}"}]}]}}
  tcp_failed: {prober: tcp, tcp: {query_response: [{expect: "^SSH"}]}}
  icmp: {prober: icmp, icmp: {packets: 2, interval: 1ms}}
  icmp_failed: {prober: icmp}
  dns: {prober: dns, dns: {query_name: good.example, query_type: SOA}}
  dns_failed: {prober: dns, dns: {query_name: missing.example}}
  tls: {prober: tls, tls: {tls_config: {ca_file: CA}}}
  tls_failed: {prober: tls}
`, "CA", ca.File))
	plain := httptest.NewServer(dogHouse())
	t.Cleanup(plain.Close)
	secure := httpsServer(t, ca.server(t, time.Now().Add(time.Hour)), "h2", "http/1.1")
	server := dnsServer(t)
	smtp := listen(t, "tcp", talk("220 dog house\n"))
	host := strings.TrimPrefix(secure, "https://")
	return modules, map[string]string{
		"http": secure + "/modified", "http_failed": plain.URL, "tcp": smtp, "tcp_failed": smtp, "icmp": "127.0.0.1", "icmp_failed": "nosuch.example",
		"dns": server, "dns_failed": server, "tls": host, "tls_failed": host,
	}
}

// serve answers /probe with the modules.
func serve(t *testing.T, modules map[string]probe.Module) string {
	t.Helper()
	s := httptest.NewServer(&probe.Handler{
		Modules: func() map[string]probe.Module { return modules }, Resolver: names{}, Log: testLog(t),
	})
	t.Cleanup(s.Close)
	return s.URL
}

func scrape(t *testing.T, at, module, target, accept string) (body string, header http.Header) {
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
	return string(text), resp.Header
}

// TestPromtoolIsContent lints what a scrape of each kind gives.
func TestPromtoolIsContent(t *testing.T) {
	needProgram(t, "promtool")
	modules, targets := everyKind(t)
	at := serve(t, modules)
	for name, target := range targets {
		body, _ := scrape(t, at, name, target, "text/plain")
		cmd := exec.Command("promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestOpenMetrics reads what a scrape of each kind gives with Prometheus' own
// parser, and expects the same series as in the text format.
func TestOpenMetrics(t *testing.T) {
	modules, targets := everyKind(t)
	at := serve(t, modules)
	for name, target := range targets {
		body, header := scrape(t, at, name, target, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
		if kind := header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
			t.Errorf("%s: the content type is %q", name, kind)
		}
		plain, header := scrape(t, at, name, target, "*/*")
		if kind := header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
			t.Errorf("%s: the content type is %q", name, kind)
		}
		open := parsed(t, textparse.NewOpenMetricsParser([]byte(body), labels.NewSymbolTable()))
		text := parsed(t, textparse.NewPromParser([]byte(plain), labels.NewSymbolTable()))
		if diff := cmp.Diff(text, open); diff != "" || len(open) < 15 {
			t.Errorf("%s: %s", name, diff)
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

var update = flag.Bool("update", false, "write the golden files")

// unsteady are the values and labels that differ from run to run.
var unsteady = regexp.MustCompile(`(?m)^(\S*(?:_seconds\S*|_expiry|_hash) )[0-9.e+-]+$`)

// TestGolden shows the whole scrape of each kind.
func TestGolden(t *testing.T) {
	modules, targets := everyKind(t)
	at := serve(t, modules)
	for name, target := range targets {
		body, _ := scrape(t, at, name, target, "text/plain")
		body = unsteady.ReplaceAllString(body, "${1}T")
		body = regexp.MustCompile(`fingerprint_sha256="[0-9a-f]{64}"`).ReplaceAllString(body, `fingerprint_sha256="F"`)
		file := filepath.Join("testdata", "golden", name+".prom")
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

// TestSeriesStayFew probes 10,000 random targets, of which most do not exist
// and the others answer with random statuses and texts: the number of series is
// that of any other failure, and no text of the other side is in a label.
func TestSeriesStayFew(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.Query().Get("text"), 400+rand.IntN(200))
	}))
	t.Cleanup(s.Close)
	modules := module.Map(module.Defaults(hostKinds()))
	seen := map[string]map[string]bool{}
	for i := range 10_000 {
		kind := []string{"http_2xx", "tcp_connect", "icmp", "dns_udp", "tls"}[i%5]
		target := randomText(40)
		if kind == "http_2xx" && i%2 == 0 {
			target = s.URL + "/?text=" + url.QueryEscape(randomText(200))
		}
		m := modules[kind]
		got := look(t, m, probe.Request{Target: target, Resolver: names{}, Dial: probe.GuardMetadata})
		if got.Success {
			t.Fatalf("%s %q succeeded", kind, target)
		}
		all := series(got)
		if seen[kind] == nil {
			seen[kind] = map[string]bool{}
			for name := range all {
				seen[kind][name] = true
			}
		}
		for name := range all {
			if !seen[kind][name] {
				t.Fatalf("%s %q brings the new series %s", kind, target, name)
			}
		}
		if len(all) != len(seen[kind]) {
			t.Fatalf("%s %q has %d series, others %d", kind, target, len(all), len(seen[kind]))
		}
	}
	for kind, names := range seen {
		t.Logf("%s: %d series", kind, len(names))
	}
}

func randomText(longest int) string {
	var b strings.Builder
	for range rand.IntN(longest) {
		switch rand.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "%c", rune(rand.IntN(0x2fff)+1))
		case 1:
			b.WriteByte(byte(rand.IntN(256)))
		default:
			b.WriteByte("abcdefghij0123456789.:/-[]%@"[rand.IntN(28)])
		}
	}
	return b.String()
}
