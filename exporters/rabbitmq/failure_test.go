package rabbitmq

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// TestReasons is the reason and the cause of each way to fail.
func TestReasons(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secretFile, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := refused(t)
	wrong := func(n *fakeNode) string {
		return "username: watch, password_file: " + secretFile + ", management: [" + n.URL + "]"
	}
	for name, c := range map[string]struct {
		breaks  func(*fakeNode)
		options func(*fakeNode) string
		target  string
		reason  probe.Reason
		cause   string
	}{
		"refused":         {target: closed, reason: probe.Refused, cause: closed + ": connection refused"},
		"both refused":    {target: closed, options: func(*fakeNode) string { return "username: u, password: p, management: [\"" + closed + "\"]" }, reason: probe.Refused, cause: "connection refused"},
		"no such host":    {target: "mq.example", reason: probe.DNS, cause: "lookup mq.example"},
		"guarded":         {target: "169.254.169.254", reason: probe.Unreachable, cause: "never probed"},
		"not an address":  {target: "ftp://mq", reason: probe.Protocol, cause: "begins with ftp://"},
		"login in target": {target: "http://a:b@mq", reason: probe.Protocol, cause: "holds a user"},
		"plugin disabled": {breaks: func(n *fakeNode) { n.status("/metrics/detailed", 404, "Not found") }, reason: probe.Status, cause: "status 404: Not found"},
		"locked":          {breaks: func(n *fakeNode) { n.status("/metrics/detailed", 401, "who?") }, reason: probe.Auth, cause: "status 401: who?"},
		"a page":          {breaks: func(n *fakeNode) { n.answer("/metrics/detailed", "<html>") }, reason: probe.Protocol, cause: "prometheus plugin"},
		"a redirect": {breaks: func(n *fakeNode) {
			n.answers["/metrics/detailed"] = http.RedirectHandler("/login", http.StatusFound).ServeHTTP
		}, reason: probe.Status, cause: "status 302"},
		"wrong password":   {breaks: func(n *fakeNode) { n.status("/metrics/detailed", 404, "") }, options: wrong, reason: probe.Auth, cause: "status 401"},
		"management only":  {options: func(n *fakeNode) string { return "source: management, " + wrong(n) }, reason: probe.Auth, cause: "Login failed"},
		"broken list":      {breaks: func(n *fakeNode) { n.answer("/api/queues", `[{"name":1}]`) }, options: func(n *fakeNode) string { return "source: management, " + login(n) }, reason: probe.Protocol, cause: "not RabbitMQ's JSON"},
		"list cut off":     {breaks: func(n *fakeNode) { n.answer("/api/queues", `[{"name":"a"}`) }, options: func(n *fakeNode) string { return "source: management, " + login(n) }, reason: probe.Protocol, cause: "closed the connection"},
		"TLS to plain":     {options: func(*fakeNode) string { return "nodes: []" }, target: "https://", reason: probe.TLS, cause: "does not look like a TLS handshake"},
		"no password file": {options: func(*fakeNode) string { return "username: u, password_file: /nonexistent/p" }, reason: probe.Auth, cause: "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "rabbit@mq1")
			if c.breaks != nil {
				c.breaks(n)
			}
			options, target := "", c.target
			if c.options != nil {
				options = c.options(n)
			}
			if target == "" || target == "https://" {
				target += n.address()
			}
			r := probed(t, built(t, options), target)
			if r.Success || r.Reason != c.reason || !strings.Contains(r.Cause, c.cause) {
				t.Errorf("got %v %s: %s; want %s: %s", r.Success, r.Reason, r.Cause, c.reason, c.cause)
			}
		})
	}
}

// TestManagementFails keeps the counts when only the management API is wrong.
func TestManagementFails(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	r := probed(t, built(t, "username: watch, password: wrong, management: ["+n.URL+"]"), n.address())
	if !r.Success {
		t.Fatalf("%s: %s", r.Reason, r.Cause)
	}
	expect(t, r, map[string]float64{
		"messages": 4, "management_up": 0, "checks_unanswered": 5, "node_alarm{node=rabbit@mq1,alarm=disk}": 0,
	})
}

// TestCancel ends what is asked when the scraper leaves, and leaves nothing.
func TestCancel(t *testing.T) {
	n := newNode(t, "n")
	left := []chan struct{}{n.hang("/metrics/detailed"), n.hang("/api/nodes"), n.hang("/api/health/checks/alarms")}
	before := runtime.NumGoroutine()
	n.asked = make(chan string, 64)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan probe.Result, 1)
	go func() { done <- probe.Run(ctx, built(t, login(n)), probe.Request{Target: n.address()}) }()
	for waiting := map[string]bool{"/metrics/detailed": true, "/api/nodes": true, "/api/health/checks/alarms": true}; len(waiting) > 0; {
		delete(waiting, <-n.asked)
	}
	cancel()
	for _, l := range left {
		await(t, l)
	}
	if r := <-done; r.Success || r.Reason != probe.Timeout || !strings.Contains(r.Cause, "cancelled") {
		t.Errorf("%v %s: %s", r.Success, r.Reason, r.Cause)
	}
	n.CloseClientConnections()
	for end := time.Now().Add(guard); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
		}
	}
}

// TestDeadline answers in time with what there is when a node hangs.
func TestDeadline(t *testing.T) {
	nodes, names := three(t)
	left := nodes[names[1]].hang("/metrics/detailed")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	named := fmt.Sprintf("nodes: [%q, %q]", nodes[names[1]].address(), nodes[names[2]].address())
	r := probe.Run(ctx, built(t, named), probe.Request{Target: nodes[names[0]].address()})
	await(t, left)
	if r.Duration > guard/2 {
		t.Errorf("took %s", r.Duration)
	}
	if got := series(r)["probe_rabbitmq_endpoint_failure{endpoint="+nodes[names[1]].address()+",reason=timeout}"]; got != 1 {
		t.Errorf("the node that hangs has no reason timeout")
	}
}

// TestSecretsStaySecret looks for the password in all that is told.
func TestSecretsStaySecret(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	n.status("/metrics/detailed", 500, "boom")
	n.status("/api/queues", 500, "boom")
	var log bytes.Buffer
	m := built(t, login(n))
	r := probe.Run(t.Context(), m, probe.Request{
		Target: n.address(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	all := log.String() + r.Cause + r.Evidence + m.Config + string(probe.AppendText(nil, r.Metrics.Families()))
	if !strings.Contains(log.String(), "/api/queues") || strings.Contains(all, password) {
		t.Errorf("tells the password, or nothing:\n%s", all)
	}
}

// TestPanicCostsOneAnswer makes a mistake of ours a fault of one answer.
func TestPanicCostsOneAnswer(t *testing.T) {
	c := &client{req: probe.Request{Log: slog.New(slog.DiscardHandler)}}
	err := c.guarded(func() error { panic("woof") })
	var f *fault
	if !errors.As(err, &f) || f.reason != probe.Protocol || !strings.Contains(f.cause, "woof") {
		t.Errorf("got %v", err)
	}
}

// TestTLS trusts the authority that is named, and no other.
func TestTLS(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	secure := httptest.NewTLSServer(n)
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	r := probed(t, built(t, "tls_config: {ca_file: "+ca+"}"), secure.URL)
	if !r.Success {
		t.Errorf("%s: %s", r.Reason, r.Cause)
	}
	r = probed(t, built(t, "tls_config: {ca_file: "+ca+", server_name: other.example}"), secure.URL)
	if r.Success || r.Reason != probe.TLS || !strings.Contains(r.Cause, "other.example") {
		t.Errorf("wrong name: %v %s: %s", r.Success, r.Reason, r.Cause)
	}
	r = probed(t, built(t, ""), secure.URL)
	if r.Success || r.Reason != probe.TLS || !strings.Contains(r.Cause, "unknown authority") {
		t.Errorf("unknown authority: %v %s: %s", r.Success, r.Reason, r.Cause)
	}
	r = probed(t, built(t, "tls_config: {ca_file: /nonexistent}"), secure.URL)
	if r.Success || !strings.Contains(r.Cause, "/nonexistent") {
		t.Errorf("no file: %v %s: %s", r.Success, r.Reason, r.Cause)
	}
}

// TestFoundAddressesAreGuarded dials nothing that the guard refuses, whoever
// names it.
func TestFoundAddressesAreGuarded(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	n.answer("/api/overview", `{"node":"x@a","listeners":[{"node":"rabbit@169.254.169.254","protocol":"http/prometheus","port":80},{"node":"b","protocol":"http/prometheus","port":0}]}`)
	n.answer("/api/nodes", `[{"name":"rabbit@169.254.169.254","running":true}]`)
	r := probed(t, built(t, "source: metrics, "+login(n)), n.address())
	if r.Success || r.Reason != probe.Unreachable || !strings.Contains(r.Cause, "never probed") {
		t.Errorf("%v %s: %s", r.Success, r.Reason, r.Cause)
	}
}
