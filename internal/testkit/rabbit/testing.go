package rabbit

import (
	"context"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/need"
)

// startWithin guards against a broker that never starts. On a busy machine a
// cluster takes a minute or two.
const startWithin = 5 * time.Minute

// Need needs RabbitMQ on this machine.
func Need(t testing.TB) {
	t.Helper()
	need.Program(t, Server, Ctl, "epmd")
}

// ForTest starts a broker that ends with the test.
func ForTest(t testing.TB, conf ...string) *Broker {
	t.Helper()
	Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	b, err := Start(ctx, Options{Dir: t.TempDir(), Conf: conf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Log(err)
		}
	})
	return b
}

// ClusterForTest starts a cluster that ends with the test.
func ClusterForTest(t testing.TB, n int) *Cluster {
	t.Helper()
	Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	c, err := StartCluster(ctx, Options{Dir: t.TempDir()}, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Log(err)
		}
	})
	return c
}
