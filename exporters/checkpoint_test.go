package exporters

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/store"
)

func TestCheckpoints(t *testing.T) {
	dir := t.TempDir()
	for _, restart := range []bool{false, true} {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openRecord(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		c := Checkpoints{s}
		want := ""
		if restart {
			want = "two"
		}
		if got, err := c.Load(t.Context(), "k"); err != nil || string(got) != want {
			t.Errorf("%q, want %q, %v", got, want, err)
		}
		for _, state := range []string{"one", "two"} {
			if err := c.Save(t.Context(), "k", []byte(state)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Load(t.Context(), "k"); err != nil || string(got) != "two" {
			t.Errorf("%q, %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
