package ganesha

import (
	"strings"
	"testing"
)

// A server starts, answers its own tools, is frozen, stopped and started again.
func TestServer(t *testing.T) {
	if !Inside(t) {
		return
	}
	s, err := Start(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, path := range []string{"/export", "/secure", "/private"} {
		if out, err := s.run(t.Context(), "rpcinfo", "-p", "127.0.0.1"); err != nil || !strings.Contains(out, "100005") {
			t.Errorf("%s: %v %s", path, err, out)
		}
	}
	if err := s.Process().Freeze(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Process().Thaw(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Error(err)
	}
}
