package memory

import (
	"testing"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) queue.Queue {
		q := New()
		t.Cleanup(func() { q.Close() })
		return q
	})
}

func TestModel(t *testing.T) {
	for seed := range uint64(10) {
		conformance.RunModel(t, seed, 200, func(t *testing.T) queue.Queue {
			q := New()
			t.Cleanup(func() { q.Close() })
			return q
		})
	}
}
