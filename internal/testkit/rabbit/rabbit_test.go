package rabbit_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBroker(t *testing.T) {
	b := rabbit.ForTest(t)
	ctx := within(t)
	must(t, launch.AwaitHTTP(ctx, b.PrometheusURL()+"/metrics", "rabbitmq_build_info"))
	out, err := b.Ctl(ctx, "list_users")
	must(t, err)
	if !strings.Contains(out, rabbit.User) {
		t.Errorf("users: %s", out)
	}
	must(t, b.StopApp(ctx))
	if err := brief(t, b); err == nil {
		t.Error("it takes connections although it is stopped")
	}
	must(t, b.StartApp(ctx))
	pid := b.PID()
	_ = b.Kill()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after the kill: %v", err)
	}
	must(t, b.Start(ctx))
}

func brief(t *testing.T, b *rabbit.Broker) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	return b.AwaitAMQP(ctx)
}

func TestCluster(t *testing.T) {
	c := rabbit.ClusterForTest(t, 3)
	out, err := c.Nodes[0].Ctl(within(t), "--formatter", "json", "cluster_status")
	must(t, err)
	for _, name := range []string{"n1@localhost", "n2@localhost", "n3@localhost"} {
		if !strings.Contains(out, name) {
			t.Errorf("%s is missing in %s", name, out)
		}
	}
}
