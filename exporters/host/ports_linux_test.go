package host

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/need"
)

// Where no source address is asked for, connections to different targets share
// local ports, so that a high rate of probes does not run out of them: here
// there are four, for nine connections. A source address is bound, and uses up
// ports for all targets together.
func TestLocalPortsAreShared(t *testing.T) {
	need.Root(t)
	need.Program(t, "ip")
	prepared, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends, and its network with it
		err := ownNetwork()
		prepared <- err
		if err == nil {
			dialAll(t)
		}
	}()
	if err := <-prepared; err != nil {
		need.Missing(t, "this test needs a network namespace of its own: "+err.Error())
	}
	<-done
}

// ownNetwork gives the thread a network with four local ports.
func ownNetwork() error {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return err
	}
	if err := exec.Command("ip", "link", "set", "lo", "up").Run(); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0o600)
}

func dialAll(t *testing.T) {
	var targets []netip.AddrPort
	for _, address := range []string{"127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		targets = append(targets, netip.MustParseAddrPort(address))
	}
	if err := dialEach(t, ipAddr{}, targets, 3); err != nil {
		t.Errorf("nothing is to be bound: %v", err)
	}
	source := ipAddr{netip.MustParseAddr("127.0.0.1")}
	if err := dialEach(t, source, targets, 3); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("from a source address: %v, want that it is bound and ports run out", err)
	}
}

// dialEach holds so many connections to each target at once.
func dialEach(t *testing.T, source ipAddr, targets []netip.AddrPort, each int) error {
	for _, to := range targets {
		for range each {
			conn, end, err := dialTCP(t.Context(), probe.Request{}, source, to)
			if err != nil {
				return err
			}
			_ = conn.(*net.TCPConn).SetLinger(0) // or its port would wait for minutes
			defer end()
		}
	}
	return nil
}
