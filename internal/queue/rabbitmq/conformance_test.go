package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/conformance"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

// hang guards against a test that hangs; it asserts no speed.
const hang = 2 * time.Minute

// without is what this engine does not keep; the comment of the package says
// why.
var without = []string{
	conformance.SameKeyOnce, conformance.RetryHoldsBack, conformance.OldestReady, conformance.RetryInPlace, conformance.CountsAtOnce,
	conformance.LooksAreFree,
}

var lastPrefix atomic.Int64

func configFor(urls ...string) Config {
	c := Default()
	c.URLs = urls
	c.Prefix = fmt.Sprintf("test%d", lastPrefix.Add(1))
	return c
}

func quiet() *slog.Logger {
	if os.Getenv("QUEUE_LOG") != "" {
		return slog.Default()
	}
	return slog.New(slog.DiscardHandler)
}

// open returns an engine, and removes what it declared after the test.
func open(t *testing.T, c Config) *Queue {
	t.Helper()
	q, err := New(Options{Config: c, Log: quiet()})
	must(t, err)
	t.Cleanup(func() {
		topology := q.Topology()
		must(t, q.Close())
		remove(t, c, topology)
	})
	return q
}

func remove(t *testing.T, c Config, topology Topology) {
	t.Helper()
	q, err := New(Options{Config: c})
	must(t, err)
	defer q.Close()
	conn, err := q.dial(context.Background(), "cleaning up")
	if err != nil {
		return // the broker or the proxy is gone already
	}
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	for _, o := range topology.Queues {
		_, _ = ch.QueueDelete(o.Name, false, false, false)
	}
	for _, e := range topology.Exchanges {
		_ = ch.ExchangeDelete(e.Name, false, false)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	b := rabbit.ForTest(t)
	t.Run("suite", func(t *testing.T) {
		conformance.Run(t, func(t *testing.T) queue.Queue { return open(t, configFor(b.URL())) }, without...)
	})
	t.Run("model", func(t *testing.T) {
		for seed := range uint64(2) {
			conformance.RunModel(t, seed, 120, func(t *testing.T) queue.Queue { return open(t, configFor(b.URL())) }, without...)
		}
	})
}
