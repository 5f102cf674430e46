package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

// realLimit guards against a broker that hangs.
const realLimit = 5 * time.Minute

// TestRealCluster adds up three real nodes, each of which leads queues: classic
// ones and quorum queues. The sum is what the management API says of the whole
// cluster, over both roads, and a node less is a node less.
func TestRealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three brokers")
	}
	c := rabbit.ClusterForTest(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), realLimit)
	defer cancel()
	const each = 40
	for i, url := range c.URLs() {
		fillNode(ctx, t, url, i, each)
	}
	endpoints := make([]string, 3)
	for i, n := range c.Nodes {
		endpoints[i] = strings.TrimPrefix(n.PrometheusURL(), "http://")
	}
	named := fmt.Sprintf("nodes: [%q, %q]", endpoints[1], endpoints[2])
	found := fmt.Sprintf("username: guest, password: guest, management: [%q, %q]", c.Nodes[0].ManagementURL(), c.Nodes[1].ManagementURL())
	for how, options := range map[string]string{"named": named, "found": found, "listed": found + ", source: management"} {
		m := built(t, options)
		err := launch.Await(ctx, how+": the totals of the management API", func(ctx context.Context) error {
			want, err := managementTotals(ctx, c.Nodes[0])
			if err != nil {
				return err
			}
			return equal(probe.Run(ctx, m, probe.Request{Target: endpoints[0]}), want)
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	if err := c.Nodes[2].Kill(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatal(err)
	}
	for how, options := range map[string]string{"named": named, "found": found} {
		m := built(t, options)
		err := launch.Await(ctx, how+": one node less", func(ctx context.Context) error {
			r := probe.Run(ctx, m, probe.Request{Target: endpoints[0]})
			s := series(r)
			if !r.Success || s["probe_rabbitmq_nodes{}"] != 3 || s["probe_rabbitmq_nodes_covered{}"] != 2 {
				return fmt.Errorf("%v %s: %s; %v of %v nodes", r.Success, r.Reason, r.Cause, s["probe_rabbitmq_nodes_covered{}"], s["probe_rabbitmq_nodes{}"])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r := probed(t, built(t, "require: all, "+named), endpoints[0])
	if r.Success || r.Reason != probe.Refused || !strings.Contains(r.Cause, endpoints[2]+": connection refused") {
		t.Errorf("all needed: %v %s: %s", r.Success, r.Reason, r.Cause)
	}
}

// fillNode declares classic queues and a quorum queue on a node, which leads
// them, and puts messages into all.
func fillNode(ctx context.Context, t *testing.T, url string, node, queues int) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	for i := range queues {
		name := fmt.Sprintf("n%d.%d", node, i)
		kind := amqp.Table{}
		if i == 0 {
			kind["x-queue-type"] = "quorum"
		}
		if err == nil {
			_, err = ch.QueueDeclare(name, true, false, false, false, kind)
		}
		for range i % 5 * (node + 1) {
			if err != nil {
				break
			}
			var confirmed *amqp.DeferredConfirmation
			if confirmed, err = ch.PublishWithDeferredConfirmWithContext(ctx, "", name, false, false, amqp.Publishing{Body: []byte("m")}); err == nil {
				_, err = confirmed.WaitContext(ctx)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// managementTotals are the sums over the full list of queues.
func managementTotals(ctx context.Context, b *rabbit.Broker) (want [counts]float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.ManagementURL()+"/api/queues?disable_stats=true&enable_queue_totals=true", http.NoBody)
	if err != nil {
		return want, err
	}
	req.SetBasicAuth(rabbit.User, rabbit.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return want, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return want, err
	}
	var list []struct {
		Messages       float64 `json:"messages"`
		Ready          float64 `json:"messages_ready"`
		Unacknowledged float64 `json:"messages_unacknowledged"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return want, fmt.Errorf("%w in %s", err, body)
	}
	for _, q := range list {
		want[ready] += q.Ready
		want[unacknowledged] += q.Unacknowledged
		want[messages] += q.Messages
	}
	const expected = 8 * (0 + 1 + 2 + 3 + 4) * (1 + 2 + 3)
	if want[messages] != expected {
		return want, fmt.Errorf("the management API tells of %v messages, %d were published", want[messages], expected)
	}
	return want, nil
}

func equal(r probe.Result, want [counts]float64) error {
	s := series(r)
	got := [counts]float64{
		ready: s["probe_rabbitmq_messages_ready{}"], unacknowledged: s["probe_rabbitmq_messages_unacknowledged{}"], messages: s["probe_rabbitmq_messages{}"],
	}
	if !r.Success || got != want || s["probe_rabbitmq_queues{}"] != 120 || s["probe_rabbitmq_nodes_covered{}"] != 3 {
		return fmt.Errorf("%v %s: %s; %v, want %v; %v queues of %v nodes", r.Success, r.Reason, r.Cause, got, want, s["probe_rabbitmq_queues{}"], s["probe_rabbitmq_nodes_covered{}"])
	}
	return nil
}
