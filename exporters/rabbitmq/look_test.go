package rabbitmq

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// TestRecorded reads what a real broker answered. Its counts are those that
// rabbitmqctl told then.
func TestRecorded(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	r := probed(t, built(t, ""), n.address())
	if !r.Success {
		t.Fatalf("%s: %s", r.Reason, r.Cause)
	}
	want := map[string]float64{
		"queues": 6, "messages": 4, "messages_ready": 4, "messages_unacknowledged": 0, "consumers": 0, "malformed": 0,
		"nodes": 1, "nodes_covered": 1, "source{source=metrics}": 1, "source{source=management}": 0, "requests": 2,
		`queue_messages{vhost=/ci,queue=jobs}`: 3, `queue_messages{vhost=/ci,queue=quorate}`: 1,
		`queue_messages{vhost=/ci,queue=a"b\c}`: 0, `queue_consumers{vhost=/ci,queue=a}b,c="}`: 0, `queue_messages_ready{vhost=/ci,queue=naïve 犬}`: 0,
		"node_memory_limit_bytes{node=rabbit@mq1}": 10110607360, "node_alarm{node=rabbit@mq1,alarm=memory}": 0,
		"node_info{endpoint=" + n.address() + ",node=rabbit@mq1,cluster=rabbit@mq1,version=3.10.8,erlang=25.2.3}": 1,
	}
	expect(t, r, want)
	if _, ok := series(r)["probe_rabbitmq_management_up{}"]; ok {
		t.Error("the management API was not to be asked")
	}
}

// TestManagementOnly gets the same from the other road, without consumers.
func TestManagementOnly(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	r := probed(t, built(t, "source: management, "+login(n)), "127.0.0.1:1")
	if !r.Success {
		t.Fatalf("%s: %s", r.Reason, r.Cause)
	}
	expect(t, r, map[string]float64{
		"queues": 6, "messages": 4, "source{source=metrics}": 0, "source{source=management}": 1, "management_up": 1,
		`queue_messages{vhost=/ci,queue=jobs}`: 3, `queue_messages{vhost=/ci,queue=a"b\c}`: 0, "node_running{node=rabbit@mq1}": 1,
		"check_passed{check=local-alarms}": 1, "check_passed{check=certificate-expiration}": 1, "checks_unanswered": 1,
	})
	if _, ok := series(r)["probe_rabbitmq_consumers{}"]; ok {
		t.Error("this road does not tell consumers")
	}
}

// TestListIsWhole fails when the user may not see all queues, which the broker
// says nowhere but in its totals.
func TestListIsWhole(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	whole := recorded(t, "queues.json")
	n.answer("/api/queues", "[]")
	r := probed(t, built(t, "source: management, "+login(n)), "127.0.0.1:1")
	if r.Success || r.Reason != probe.Auth || !strings.HasPrefix(r.Cause, "management") || !strings.Contains(r.Cause, "0 of 6 queues") {
		t.Errorf("%v %s: %s", r.Success, r.Reason, r.Cause)
	}
	// One that was deleted meanwhile is not missed.
	n.answers["/api/queues"] = func(w http.ResponseWriter, _ *http.Request) {
		n.answer("/api/overview", strings.Replace(recorded(t, "overview.json"), `"queues": 6`, `"queues": 5`, 1))
		fmt.Fprint(w, strings.Replace(whole, `{"arguments":{},"auto_delete":false,"durable":true,"exclusive":false,"messages":3,"messages_ready":3,"messages_unacknowledged":0,"name":"jobs","node":"rabbit@mq1","state":"running","type":"classic","vhost":"/ci"},`, "", 1))
	}
	r = probed(t, built(t, "source: management, "+login(n)), "127.0.0.1:1")
	if !r.Success {
		t.Errorf("%s: %s", r.Reason, r.Cause)
	}
	expect(t, r, map[string]float64{"queues": 5, "messages": 1})
}

// TestListsOneVirtualHost asks for what is looked at only.
func TestListsOneVirtualHost(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	asked := make(chan string, 1)
	n.answers["/api/queues//ci"] = func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.EscapedPath()
		fmt.Fprint(w, recorded(t, "queues.json"))
	}
	r := probed(t, built(t, "source: management, vhosts: [/ci], "+login(n)), "127.0.0.1:1")
	if !r.Success || <-asked != "/api/queues/%2Fci" {
		t.Errorf("%s: %s", r.Reason, r.Cause)
	}
	expect(t, r, map[string]float64{"queues": 6})
	r = probed(t, built(t, "source: management, vhosts: [nosuch], "+login(n)), "127.0.0.1:1")
	if r.Success || !strings.Contains(r.Cause, "virtual host nosuch: status 404") {
		t.Errorf("%v %s", r.Success, r.Cause)
	}
}

// TestFallback takes the management API's list where the metrics do not answer.
func TestFallback(t *testing.T) {
	for name, breaks := range map[string]func(*fakeNode){
		"plugin disabled": func(n *fakeNode) { n.status("/metrics/detailed", 404, "no") },
		"broken off": func(n *fakeNode) {
			n.answer("/metrics/detailed", "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"half\"} 1\n")
		},
		"not RabbitMQ": func(n *fakeNode) { n.answer("/metrics/detailed", "<html>log in</html>") },
		"locked":       func(n *fakeNode) { n.status("/metrics/detailed", 403, "no") },
		"redirects": func(n *fakeNode) {
			n.answers["/metrics/detailed"] = http.RedirectHandler("http://169.254.169.254/", http.StatusFound).ServeHTTP
		},
		"connection resets": func(n *fakeNode) {
			n.answers["/metrics/detailed"] = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "rabbit@mq1")
			cluster(map[string]*fakeNode{"rabbit@mq1": n})
			breaks(n)
			r := probed(t, built(t, login(n)), n.address())
			if !r.Success {
				t.Fatalf("%s: %s", r.Reason, r.Cause)
			}
			expect(t, r, map[string]float64{
				"queues": 6, "messages": 4, "source{source=metrics}": 0, "source{source=management}": 1,
				"endpoint_up{endpoint=" + n.address() + "}": 0, "nodes": 1, "nodes_covered": 1,
			})
		})
	}
}

// TestSlowMetrics leaves time for the management API when the metrics hang.
func TestSlowMetrics(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	left := n.hang("/metrics/detailed")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r := probe.Run(ctx, built(t, "discover: false, "+login(n)), probe.Request{Target: n.address()})
	if !r.Success {
		t.Fatalf("%s: %s", r.Reason, r.Cause)
	}
	expect(t, r, map[string]float64{"messages": 4, "endpoint_failure{endpoint=" + n.address() + ",reason=timeout}": 1})
	await(t, left)
}

func await(t *testing.T, left <-chan struct{}) {
	t.Helper()
	select {
	case <-left:
	case <-time.After(guard):
		t.Fatal("the request was not cancelled")
	}
}

// three are nodes of one cluster on this host. Each leads queues of its own, and
// one that all tell of because it just changed its leader.
func three(t *testing.T) (nodes map[string]*fakeNode, names []string) {
	t.Helper()
	nodes = map[string]*fakeNode{}
	for i := range 3 {
		name := fmt.Sprintf("rabbit%d@localhost", i)
		names = append(names, name)
		nodes[name] = newNode(t, name)
		nodes[name].answer("/metrics/detailed", detailed(name, map[string]int{fmt.Sprintf("q%d", i): 10 * i, "moved": i}))
		nodes[name].answer("/api/queues", `[
			{"vhost":"/","name":"q0","messages":1,"messages_ready":0,"messages_unacknowledged":1},
			{"vhost":"/","name":"q1","messages":11,"messages_ready":10,"messages_unacknowledged":1},
			{"vhost":"/","name":"q2","messages":21,"messages_ready":20,"messages_unacknowledged":1},
			{"vhost":"/","name":"away","messages":null,"state":"down"},
			{"vhost":"/","name":"moved","messages":3,"messages_ready":2,"messages_unacknowledged":1}]`)
	}
	cluster(nodes)
	return nodes, names
}

// TestCluster adds up nodes that are named, or that are found through the
// management API.
func TestCluster(t *testing.T) {
	nodes, names := three(t)
	named := fmt.Sprintf("nodes: [%q, %q]", nodes[names[1]].address(), nodes[names[2]].URL)
	for how, options := range map[string]string{"named": named, "found": login(nodes[names[0]])} {
		r := probed(t, built(t, options), nodes[names[0]].address())
		if !r.Success {
			t.Fatalf("%s: %s: %s", how, r.Reason, r.Cause)
		}
		expect(t, r, map[string]float64{
			"queues": 4, "messages_ready": 32, "messages_unacknowledged": 4, "messages": 36, "consumers": 8, "nodes": 3, "nodes_covered": 3,
			"queue_messages{vhost=/,queue=q2}": 21, "queue_messages{vhost=/,queue=moved}": 3, "source{source=management}": 0,
		})
	}
}

// TestClusterLosesNodes says what is down with one and two of three nodes gone.
func TestClusterLosesNodes(t *testing.T) {
	nodes, names := three(t)
	first := nodes[names[0]]
	named := fmt.Sprintf("nodes: [%q, %q]", nodes[names[1]].address(), nodes[names[2]].address())
	found := login(first)
	nodes[names[2]].Close()
	delete(nodes, names[2])
	cluster(nodes, names[2])
	check := func(what, options string, success bool, want map[string]float64) {
		t.Helper()
		r := probed(t, built(t, options), first.address())
		if r.Success != success {
			t.Fatalf("%s: %v %s: %s", what, r.Success, r.Reason, r.Cause)
		}
		expect(t, r, want)
	}
	check("one gone, named", named, true, map[string]float64{"nodes": 3, "nodes_covered": 2, "queues": 3, "messages_ready": 11})
	check("one gone, all needed", named+", require: all", false, map[string]float64{"nodes_covered": 2, "messages_ready": 11})
	check("one gone, named, with a user", named+", "+found, true, map[string]float64{
		"nodes": 3, "nodes_covered": 2, "node_running{node=rabbit2@localhost}": 0, "source{source=management}": 1, "messages_ready": 31,
	})
	check("only this one", "discover: false, "+found, true, map[string]float64{"nodes": 1, "nodes_covered": 1, "messages_ready": 0, "source{source=management}": 0})
	check("one gone, found", found, true, map[string]float64{
		"nodes": 3, "nodes_covered": 2, "node_running{node=rabbit2@localhost}": 0, "source{source=management}": 1, "queues": 5, "messages_ready": 31,
	})

	nodes[names[1]].status("/metrics/detailed", 500, "boom")
	r := probed(t, built(t, named), first.address())
	if r.Success || r.Reason != probe.Status || !strings.Contains(r.Cause, "1 of 3 nodes") || !strings.Contains(r.Evidence, "status 500: boom") {
		t.Errorf("two gone: %v %s: %s: %s", r.Success, r.Reason, r.Cause, r.Evidence)
	}
	expect(t, r, map[string]float64{"messages_ready": 0, "queues": 2})
	check("two gone, any is enough", named+", require: any", true, nil)
	check("two gone, the list covers the one that runs", found, true, map[string]float64{"nodes_covered": 2})
}

// TestAlarms shows alarms on both roads, and counts them as down if asked to.
func TestAlarms(t *testing.T) {
	n := newNode(t, "rabbit@mq1")
	cluster(map[string]*fakeNode{"rabbit@mq1": n})
	n.answer("/metrics", strings.ReplaceAll(recorded(t, "metrics.txt"), "alarms_free_disk_space_watermark 0", "alarms_free_disk_space_watermark 1"))
	n.status("/api/health/checks/alarms", 503, `{"status":"failed","alarms":[{"node":"rabbit@mq1","resource":"disk"},{"node":"rabbit@mq1","resource":"file_descriptor_limit"},{"node":"x","resource":"disk"}]}`)
	n.status("/api/health/checks/local-alarms", 503, `{"status":"failed"}`)
	r := probed(t, built(t, ""), n.address())
	if !r.Success {
		t.Fatal(r.Cause)
	}
	expect(t, r, map[string]float64{"node_alarm{node=rabbit@mq1,alarm=disk}": 1, "node_alarm{node=rabbit@mq1,alarm=memory}": 0, "node_alarm{node=rabbit@mq1,alarm=file_descriptors}": 0})
	r = probed(t, built(t, "fail_on_alarm: true, "+login(n)), n.address())
	if r.Success || r.Reason != probe.Quota || !strings.Contains(r.Cause, "the disk alarm is in effect") {
		t.Errorf("%v %s: %s", r.Success, r.Reason, r.Cause)
	}
	expect(t, r, map[string]float64{
		"node_alarm{node=rabbit@mq1,alarm=disk}": 1, "node_alarm{node=rabbit@mq1,alarm=file_descriptors}": 1,
		"check_passed{check=local-alarms}": 0, "check_passed{check=virtual-hosts}": 1,
	})
}

// TestBudget keeps the largest queues, and the same ones if many are as large.
func TestBudget(t *testing.T) {
	n := newNode(t, "n")
	queues := map[string]int{}
	for i := range 500 {
		queues[fmt.Sprintf("q%03d", i)] = i / 10
	}
	n.answer("/metrics/detailed", detailed("n", queues))
	r := probed(t, built(t, `max_queues: 15, exclude: "q49[5-9]"`), n.address())
	expect(t, r, map[string]float64{"queues": 500, "queues_excluded": 5, "queues_dropped": 480, "messages_unacknowledged": 500, "consumers": 1000})
	var shown []string
	for name := range series(r) {
		if q, ok := strings.CutPrefix(name, "probe_rabbitmq_queue_messages{vhost=/,queue="); ok {
			shown = append(shown, strings.TrimSuffix(q, "}"))
		}
	}
	slices.Sort(shown)
	if got := strings.Join(shown, " "); got != "q480 q481 q482 q483 q484 q485 q486 q487 q488 q489 q490 q491 q492 q493 q494" {
		t.Errorf("shown are %s", got)
	}
	r = probed(t, built(t, `max_queues: 0`), n.address())
	expect(t, r, map[string]float64{"queues": 500, "queues_dropped": 500})
	r = probed(t, built(t, `include: "q0.*", vhosts: [/ci]`), n.address())
	expect(t, r, map[string]float64{"queues": 0, "messages": 0})
}

// TestAsksForTheVirtualHosts leaves it to the broker to make less text.
func TestAsksForTheVirtualHosts(t *testing.T) {
	n := newNode(t, "n")
	asked := make(chan []string, 1)
	n.answers["/metrics/detailed"] = func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()["vhost"]
		fmt.Fprint(w, detailed("n", nil))
	}
	probed(t, built(t, "vhosts: [/, a&b]"), n.address())
	if got := <-asked; !slices.Equal(got, []string{"/", "a&b"}) {
		t.Errorf("asked for %q", got)
	}
}

// TestLoginOnlyWhereAsked sends the password to the metrics only after a 401.
func TestLoginOnlyWhereAsked(t *testing.T) {
	n := newNode(t, "n")
	logins := make(chan bool, 9)
	n.answers["/metrics/detailed"] = func(w http.ResponseWriter, r *http.Request) {
		_, _, ok := r.BasicAuth()
		logins <- ok
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, detailed("n", nil))
	}
	if r := probed(t, built(t, login(n)), n.address()); !r.Success {
		t.Fatal(r.Cause)
	}
	if first, second := <-logins, <-logins; first || !second {
		t.Errorf("logins %v %v", first, second)
	}
}
