package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
)

const user, password = "watch", "n0t-told"

// recorded is what a RabbitMQ 3.10.8 answered, called rabbit@mq1, with queues
// whose names its metrics do not escape.
func recorded(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "3.10.8", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fakeNode answers as one node does, on one port for both roads. Answers are by
// path and can be replaced.
type fakeNode struct {
	*httptest.Server
	answers map[string]http.HandlerFunc
	asked   chan string // each path, if it is set
}

func newNode(t testing.TB, name string) *fakeNode {
	t.Helper()
	n := &fakeNode{answers: map[string]http.HandlerFunc{}}
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	rename := func(s string) string { return strings.ReplaceAll(s, "rabbit@mq1", name) }
	n.answer("/metrics/detailed", rename(recorded(t, "detailed.txt")))
	n.answer("/metrics", rename(recorded(t, "metrics.txt")))
	n.answer("/api/overview", rename(recorded(t, "overview.json")))
	n.answer("/api/nodes", rename(recorded(t, "nodes.json")))
	n.answer("/api/queues", rename(recorded(t, "queues.json")))
	for _, check := range []string{"alarms", "local-alarms", "virtual-hosts", "node-is-quorum-critical", "certificate-expiration/14/days"} {
		n.answer("/api/health/checks/"+check, `{"status":"ok"}`)
	}
	return n
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.asked != nil {
		n.asked <- r.URL.Path
	}
	answer, known := n.answers[r.URL.Path]
	who, secret, _ := r.BasicAuth()
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/") && (who != user || secret != password):
		http.Error(w, `{"error":"not_authorized","reason":"Login failed"}`, http.StatusUnauthorized)
	case !known:
		http.Error(w, `{"error":"Object Not Found","reason":"Not Found"}`, http.StatusNotFound)
	default:
		answer(w, r)
	}
}

func (n *fakeNode) answer(path, text string) {
	n.answers[path] = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func (n *fakeNode) status(path string, status int, text string) {
	n.answers[path] = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) }
}

func (n *fakeNode) hang(path string) (left chan struct{}) {
	left = make(chan struct{}, 16)
	n.answers[path] = func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		left <- struct{}{}
	}
	return left
}

// address is host:port of it.
func (n *fakeNode) address() string { return strings.TrimPrefix(n.URL, "http://") }

func (n *fakeNode) port() string {
	_, port, _ := net.SplitHostPort(n.address())
	return port
}

// cluster makes the nodes tell of each other.
func cluster(nodes map[string]*fakeNode, down ...string) {
	var listeners, list []string
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		listeners = append(listeners, fmt.Sprintf(`{"node":%q,"protocol":"http/prometheus","port":%s}`, name, n.port()))
		list = append(list, fmt.Sprintf(`{"name":%q,"running":true,"partitions":[],"mem_alarm":false,"disk_free_alarm":false}`, name))
	}
	for _, name := range down {
		list = append(list, fmt.Sprintf(`{"name":%q,"running":false}`, name))
	}
	for name, n := range nodes {
		n.answer("/api/overview", fmt.Sprintf(`{"node":%q,"listeners":[%s]}`, name, strings.Join(listeners, ",")))
		n.answer("/api/nodes", "["+strings.Join(list, ",")+"]")
	}
}

// detailed is what a node of a newer version answers for the queues, which have
// as many messages ready as told, one unacknowledged and two consumers.
func detailed(node string, queues map[string]int) string {
	var b strings.Builder
	for _, family := range []string{"queue_messages_ready", "queue_messages_unacked", "queue_messages", "queue_consumers"} {
		fmt.Fprintf(&b, "# TYPE rabbitmq_detailed_%s gauge\n# HELP rabbitmq_detailed_%s A text\n", family, family)
		for name, n := range queues {
			v := map[string]int{"queue_messages_ready": n, "queue_messages_unacked": 1, "queue_messages": n + 1, "queue_consumers": 2}[family]
			fmt.Fprintf(&b, "rabbitmq_detailed_%s{vhost=\"/\",queue=%q} %d\n", family, name, v)
		}
	}
	fmt.Fprintf(&b, "rabbitmq_build_info{rabbitmq_version=\"4.1.2\",erlang_version=\"27.1\"} 1\n")
	fmt.Fprintf(&b, "rabbitmq_identity_info{rabbitmq_node=%q,rabbitmq_cluster=\"c\"} 1\n", node)
	return b.String()
}

// built is a module with the options, in YAML's flow style.
func built(t testing.TB, options string) probe.Module {
	t.Helper()
	text := "modules: {m: {prober: rabbitmq, rabbitmq: {" + options + "}}}"
	modules := module.Parse([]byte(text), New(Options{}).Kinds(), func(line int, path, message string) {
		t.Errorf("line %d: %s: %s", line, path, message)
	})
	if t.Failed() {
		t.FailNow()
	}
	return modules[0]
}

// login are the options of a module with the user, whose management API is at
// the nodes.
func login(nodes ...*fakeNode) string {
	urls := make([]string, len(nodes))
	for i, n := range nodes {
		urls[i] = n.URL
	}
	return fmt.Sprintf("username: %s, password: %s, management: [%s]", user, password, strings.Join(urls, ","))
}

const guard = time.Minute // against a test that hangs

func probed(t testing.TB, m probe.Module, target string) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	return probe.Run(ctx, m, probe.Request{Target: target, Dial: probe.GuardMetadata, Resolver: noNames{}})
}

// noNames knows no name.
type noNames struct{}

func (noNames) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "localhost" {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// series are the values of a result by name and labels.
func series(r probe.Result) map[string]float64 {
	all := map[string]float64{}
	for _, f := range r.Metrics.Families() {
		for _, s := range f.Samples {
			pairs := make([]string, len(s.Labels))
			for i, l := range s.Labels {
				pairs[i] = l.Name + "=" + l.Value
			}
			all[f.Name+"{"+strings.Join(pairs, ",")+"}"] = s.Value
		}
	}
	return all
}

// expect compares some of the series of a result; short names leave the prefix.
func expect(t testing.TB, r probe.Result, want map[string]float64) {
	t.Helper()
	got := series(r)
	for name, v := range want {
		if !strings.Contains(name, "{") {
			name += "{}"
		}
		if g, ok := got["probe_rabbitmq_"+name]; !ok || g != v {
			t.Errorf("%s is %v (there: %v), want %v", name, g, ok, v)
		}
	}
}

func nothing() *slog.Logger { return slog.New(slog.DiscardHandler) }

func refused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
