package exporters

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/need"
)

// babble are servers that answer with random texts, over HTTP and without any
// protocol.
type babble struct{ http, tcp string }

func startBabble(t *testing.T) babble {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", []string{"text/html", "application/json", "text/plain; version=0.0.4", "application/xml"}[rand.IntN(4)])
		w.WriteHeader(400 + rand.IntN(200))
		_, _ = io.WriteString(w, randomText(300)) // the prober may have gone
	}))
	t.Cleanup(web.Close)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, randomText(300))
			_ = conn.Close()
		}
	}()
	return babble{http: web.Listener.Addr().String(), tcp: l.Addr().String()}
}

// randomText is up to longest characters of all kinds.
func randomText(longest int) string {
	var b strings.Builder
	for range 1 + rand.IntN(longest) {
		switch rand.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "%c", rune(rand.IntN(0x2fff)+1))
		case 1:
			b.WriteByte(byte(rand.IntN(256)))
		default:
			b.WriteByte("abcdefghij0123456789.:/-[]%@\"{}"[rand.IntN(31)])
		}
	}
	return b.String()
}

// nobody resolves no name.
type nobody struct{}

func (nobody) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: randomText(50), Name: host, IsNotFound: true}
}

// optionsOf are the options that each kind needs here, and the targets beside
// random ones at which it meets random answers. A new kind adds its line.
func optionsOf(t *testing.T, b babble) map[string]struct {
	options string
	targets []string
} {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s3 := fmt.Sprintf("{endpoint: 'http://%s', access_key_file: %s, secret_key_file: %s}", b.http, key, key)
	return map[string]struct {
		options string
		targets []string
	}{
		"http":           {"{preferred_ip_protocol: ip4}", []string{"http://" + b.http, "https://" + b.http, b.tcp}},
		"tcp":            {"{preferred_ip_protocol: ip4, query_response: [{expect: '^never$'}]}", []string{b.tcp}},
		"icmp":           {"", nil},
		"dns":            {"{preferred_ip_protocol: ip4, transport_protocol: tcp, query_name: a.example}", []string{b.tcp}},
		"tls":            {"{preferred_ip_protocol: ip4}", []string{b.tcp, b.http}},
		"filesystem":     {"", []string{"/nowhere"}},
		"machine":        {"", nil},
		"nfs":            {"", []string{b.tcp, b.tcp + "/export"}},
		"s3":             {s3, []string{"bucket", "other-bucket"}},
		"s3_canary":      {s3, []string{"bucket", "other-bucket"}},
		"rabbitmq":       {"", []string{"http://" + b.http, b.http, b.tcp}},
		"beaker":         {fmt.Sprintf("{listen_address: '127.0.0.1:%d', expiry: 1s}", port), []string{"beaker.example.org"}},
		"beaker_systems": {"{systems: [a.example.org], pools: [p], jobs: true, requests_per_hour: 1000000}", []string{"http://" + b.http + "/bkr", "http://" + b.tcp + "/bkr"}},
	}
}

// TestSeriesOfEveryKindStayFew makes 10,000 probes of random targets and of
// servers that answer with random texts. Each failed probe of a kind has as many
// series as any other, with the same labels, and its reason is of the list.
func TestSeriesOfEveryKindStayFew(t *testing.T) {
	b := startBabble(t)
	set := NewSet(SetOptions{})
	t.Cleanup(func() { _ = set.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = set.Beaker.Run(ctx) }() // always nil
	t.Cleanup(func() { cancel(); <-done })
	kinds, how := set.Kinds(), optionsOf(t, b)
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			with, ok := how[k.Name]
			if !ok {
				t.Fatalf("add to optionsOf how the kind %s is probed", k.Name)
			}
			m := moduleWith(t, k, with.options)
			shapes := map[string]string{}
			for i := range 10_000/len(kinds) + 1 {
				target := randomText(40)
				if len(with.targets) > 0 && i%2 == 0 {
					target = with.targets[i/2%len(with.targets)]
				}
				shapes[shapeOf(t, m, target, b)] = target
			}
			most := 1
			if k.Name == "rabbitmq" { // a target that is no address has no endpoint to tell about
				most = 2
			}
			if len(shapes) > most {
				for shape, target := range shapes {
					t.Errorf("%q gives\n%s", target, shape)
				}
			}
		})
	}
}

func moduleWith(t *testing.T, k probe.Kind, options string) probe.Module {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(options), &document); err != nil {
		t.Fatal(err)
	}
	var node *yaml.Node
	if len(document.Content) > 0 {
		node = document.Content[0]
	}
	f := k.Build(node, func(_ int, format string, args ...any) { t.Fatalf(format, args...) })
	return probe.Module{Name: k.Name, Kind: k.Name, Timeout: 2 * time.Second, Probe: f}
}

// shapeOf probes, and gives how many series there are of each family and set of
// label names. Only the servers of this test are ever dialled.
func shapeOf(t *testing.T, m probe.Module, target string, b babble) string {
	t.Helper()
	guard := func(_, address string) error {
		if address != b.http && address != b.tcp {
			return fmt.Errorf("%w: not in this test", probe.ErrGuarded)
		}
		return nil
	}
	r := probe.Run(t.Context(), m, probe.Request{Target: target, Dial: guard, Resolver: nobody{}})
	if r.Success || !slices.Contains(probe.Reasons(), r.Reason) {
		t.Fatalf("%q: success %v, reason %q", target, r.Success, r.Reason)
	}
	counts := map[string]int{}
	for _, f := range r.Metrics.Families() {
		for _, s := range f.Samples {
			name := f.Name
			for _, l := range s.Labels {
				name += " " + l.Name
			}
			counts[name]++
		}
	}
	var shape strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&shape, "%4d %s\n", counts[name], name)
	}
	return shape.String()
}

// unsteadyValue is a value that golden files write as T.
var unsteadyValue = regexp.MustCompile(`(?m) T$`)

// TestGoldenExpositionsAreClean holds the golden exposition of every kind
// against promtool, and reads each with Prometheus' own parser as OpenMetrics.
func TestGoldenExpositionsAreClean(t *testing.T) {
	need.Program(t, "promtool")
	files, err := filepath.Glob("*/testdata/*.prom")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("*/testdata/*/*.prom")
	if files = append(files, more...); err != nil || len(files) < 20 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = unsteadyValue.ReplaceAll(text, []byte(" 0"))
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		if n := openMetrics(t, file, text); n < 10 {
			t.Errorf("%s: %d series", file, n)
		}
	}
}

// openMetrics counts the series of an exposition once it is written as
// OpenMetrics: counters' families without _total, and an end.
func openMetrics(t *testing.T, file string, text []byte) (series int) {
	t.Helper()
	families := regexp.MustCompile(`(?m)^# (HELP|TYPE) (\S+)_total `)
	text = append(families.ReplaceAll(text, []byte("# $1 $2 ")), "# EOF\n"...)
	p := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return series
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if entry == textparse.EntrySeries {
			series++
		}
	}
}
