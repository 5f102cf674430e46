package ganesha

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// private makes loopback usable in a new network, and gives a new mount
// namespace a /run of its own, where rpcbind keeps its lock and its socket.
const private = `ip link set lo up && mount -t tmpfs none /run && exec "$@"`

// Namespace is a network that has only loopback, with mounts of its own.
// rpcbind and NFS servers listen on all addresses: there they reach nobody.
type Namespace struct {
	holder   *launch.Process
	forwards []net.Listener
	wait     sync.WaitGroup
	stop     context.CancelFunc // ends what is passed on
	stopped  context.Context    //nolint:containedctx // until Close
}

// NewNamespace makes a namespace, which needs root. Close must be called.
func NewNamespace(ctx context.Context) (*Namespace, error) {
	holder, err := launch.Start(launch.Options{}, "unshare", "--net", "--mount", "sh", "-c", private, "sh", "sh", "-c", "echo ready; exec sleep infinity")
	if err != nil {
		return nil, err
	}
	n := &Namespace{holder: holder}
	n.stopped, n.stop = context.WithCancel(context.Background())
	err = launch.Await(ctx, "a network namespace", func(context.Context) error {
		if holder.Tail() != "ready\n" {
			return errors.New("it is not ready")
		}
		return nil
	}, holder)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// PID is a process in it, for nsenter.
func (n *Namespace) PID() int { return n.holder.PID() }

// Enter is what is put before a command for it to run inside.
func (n *Namespace) Enter() []string {
	if n == nil {
		return nil
	}
	return []string{"nsenter", "--net", "--mount", "--target=" + strconv.Itoa(n.holder.PID())}
}

// Forward passes connections to a port of loopback outside on to the same port
// inside, until Close.
func (n *Namespace) Forward(port int) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", address) //nolint:noctx // does not block
	if err != nil {
		return fmt.Errorf("forward port %d: %w", port, err)
	}
	n.forwards = append(n.forwards, l)
	n.wait.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			n.wait.Go(func() { n.pass(outside, address) })
		}
	})
	return nil
}

// pass copies both ways until either side is done.
func (n *Namespace) pass(outside net.Conn, address string) {
	defer outside.Close()
	inside, err := n.dial(address)
	if err != nil {
		return
	}
	defer inside.Close()
	over := func() {
		_ = inside.SetDeadline(time.Unix(1, 0))
		_ = outside.SetDeadline(time.Unix(1, 0))
	}
	defer context.AfterFunc(n.stopped, over)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			over() // the other way, too
		})
	}
	both.Wait()
}

// dial connects inside: a socket belongs to the network in which the thread is
// that makes it. The thread comes back afterwards: if it ended, the kernel would
// end the processes that were started from it (launch asks for that).
func (n *Namespace) dial(address string) (conn net.Conn, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	inside, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.holder.PID()))
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the namespace: %w", err)
	}
	conn, err = net.DialTimeout("tcp", address, 10*time.Second) //nolint:noctx // bounded
	if back := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("ganesha: leave the namespace: %v", back))
	}
	return conn, err
}

// Close ends what holds the namespace. It goes when the last process in it ends.
func (n *Namespace) Close() error {
	for _, l := range n.forwards {
		_ = l.Close()
	}
	n.stop()
	err := n.holder.Kill()
	n.wait.Wait()
	return err
}

// insideVariable marks a test that runs in a namespace of its own.
const insideVariable = "COLLIE_TEST_INSIDE_NAMESPACE"

// IsInside tells whether this process was started by Again.
func IsInside() bool { return os.Getenv(insideVariable) == "true" }

// Again is the command that runs this program again with the arguments, in a
// namespace of its own, which needs root.
func Again(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--net", "--mount", "sh", "-c", private, "sh", os.Args[0]}, args...)...) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), insideVariable+"=true")
	return cmd
}
