package sqlite

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/conformance"
	"github.com/colliehq/collie/internal/store"
)

func openQueue(t *testing.T, dir string) *Queue {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	q := New(s, Options{})
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) queue.Queue { return openQueue(t, t.TempDir()) })
}

func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		conformance.RunModel(t, seed, 200, func(t *testing.T) queue.Queue { return openQueue(t, t.TempDir()) })
	}
}
