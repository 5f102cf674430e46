package ganesha

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/colliehq/collie/internal/testkit/need"
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
	if out, err := s.run(t.Context(), "df", s.Dir); err != nil || !strings.Contains(out, "24576") {
		t.Errorf("%v %s", err, out)
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

// A namespace passes connections on, and what runs in it is seen from outside.
func TestForward(t *testing.T) {
	need.Program(t, Programs()...)
	if os.Getuid() != 0 {
		need.Missing(t, "this test makes a network namespace: run it as root")
	}
	n, err := NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s, err := Start(t.Context(), t.TempDir(), Options{Namespace: n})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if conn, err := net.Dial("tcp", "127.0.0.1:20048"); err == nil {
		conn.Close()
		t.Skip("something listens at port 20048 outside, too")
	}
	if err := n.Forward(20048); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:20048")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// NULL of mountd, and the reply to it.
	call := []byte{0x80, 0, 0, 40, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa5, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if _, err := conn.Write(call); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 28)); err != nil {
		t.Error(err)
	}
}
