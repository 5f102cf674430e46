// Package rabbit runs real RabbitMQ brokers for tests, alone or as a cluster,
// on loopback and on ports of their own: no other broker of the machine is
// touched, and none outlives the test.
package rabbit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// Server and Ctl are the programs. Those of the distribution in /usr/sbin
// change the user, which a test cannot use.
const (
	Server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	Ctl    = "/usr/lib/rabbitmq/bin/rabbitmqctl"
)

// User and Password may do everything, from loopback.
const (
	User     = "guest"
	Password = "guest"
)

// Options of a broker.
type Options struct {
	Dir  string   // for everything that it writes
	Conf []string // more lines of rabbitmq.conf
}

// Broker is one node.
type Broker struct {
	dir     string
	name    string // of the Erlang node
	ports   ports
	epmd    *epmd
	process *launch.Process
}

type ports struct{ amqp, management, prometheus, distribution int }

// Start starts a broker with the plugins management and prometheus, and waits
// until it answers.
func Start(ctx context.Context, o Options) (*Broker, error) {
	e, err := startEpmd()
	if err != nil {
		return nil, err
	}
	b, err := newBroker(o, "one@localhost", e)
	if err == nil {
		err = b.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, e.leave())
	}
	return b, nil
}

func newBroker(o Options, name string, e *epmd) (*Broker, error) {
	b := &Broker{dir: o.Dir, name: name, epmd: e}
	for _, port := range []*int{&b.ports.amqp, &b.ports.management, &b.ports.prometheus, &b.ports.distribution} {
		free, err := freePort()
		if err != nil {
			return nil, err
		}
		*port = free
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	conf := append([]string{
		fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d", b.ports.amqp),
		"management.tcp.ip = 127.0.0.1",
		fmt.Sprintf("management.tcp.port = %d", b.ports.management),
		"prometheus.tcp.ip = 127.0.0.1",
		fmt.Sprintf("prometheus.tcp.port = %d", b.ports.prometheus),
		"raft.wal_max_size_bytes = 67108864",
	}, o.Conf...)
	for file, text := range map[string]string{
		"rabbitmq.conf":   strings.Join(conf, "\n") + "\n",
		"enabled_plugins": "[rabbitmq_management,rabbitmq_prometheus].\n",
	} {
		if err := os.WriteFile(filepath.Join(b.dir, file), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
	}
	return b, nil
}

// freePort is one below those that the system gives to outgoing connections: a
// broker takes seconds until it listens, and comes back to the same port after
// it was killed.
func freePort() (int, error) {
	var err error
	for range 50 {
		port := 10_000 + rand.IntN(22_000)
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil { //nolint:noctx // does not block
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// env keeps the node, its tools and the port mapper to ourselves.
func (b *Broker) env() []string {
	const local = "-kernel inet_dist_use_interface {127,0,0,1} -setcookie collie"
	return []string{
		"HOME=" + b.dir,
		"RABBITMQ_NODENAME=" + b.name,
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(b.dir, "mnesia"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(b.dir, "log"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(b.dir, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(b.dir, "enabled_plugins"),
		"RABBITMQ_PID_FILE=" + filepath.Join(b.dir, "pid"),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(b.ports.distribution),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + local,
		"RABBITMQ_CTL_ERL_ARGS=" + local,
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + strconv.Itoa(b.epmd.port),
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the node: one process, whose pid we know
	}
}

// Start starts it again after Kill or Stop, with what it stored.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.launch(); err != nil {
		return err
	}
	return b.await(ctx)
}

func (b *Broker) launch() (err error) {
	b.process, err = launch.Start(launch.Options{Dir: b.dir, Env: b.env()}, Server)
	return err
}

// await waits until it takes connections and its management API answers.
func (b *Broker) await(ctx context.Context) error {
	if err := b.AwaitAMQP(ctx); err != nil {
		return err
	}
	url := strings.Replace(b.ManagementURL(), "://", "://"+User+":"+Password+"@", 1)
	return launch.AwaitHTTP(ctx, url+"/api/overview", "management_version", b.process)
}

// AwaitAMQP waits until it takes AMQP connections.
func (b *Broker) AwaitAMQP(ctx context.Context) error {
	return launch.Await(ctx, "RabbitMQ to listen", func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", b.Address())
		if err != nil {
			return err
		}
		defer conn.Close()
		return greets(conn)
	}, b.process)
}

// greets sees whether a broker is behind the port: it refuses an unknown
// protocol with the version that it wants (AMQP 0-9-1, section 4.2.2).
func greets(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("AMQP\x00\x00\x00\x00")); err != nil {
		return err
	}
	answer := make([]byte, 8)
	if _, err := conn.Read(answer); err != nil {
		return err
	}
	if !bytes.HasPrefix(answer, []byte("AMQP")) {
		return fmt.Errorf("it says %q", answer)
	}
	return nil
}

// Address is host:port of AMQP, without TLS.
func (b *Broker) Address() string { return "127.0.0.1:" + strconv.Itoa(b.ports.amqp) }

// URL is the AMQP URL, with User and Password.
func (b *Broker) URL() string { return "amqp://" + User + ":" + Password + "@" + b.Address() + "/" }

// ManagementURL is the root of the management API, without user.
func (b *Broker) ManagementURL() string {
	return "http://127.0.0.1:" + strconv.Itoa(b.ports.management)
}

// PrometheusURL is the root of the prometheus plugin: its paths are /metrics,
// /metrics/per-object and /metrics/detailed.
func (b *Broker) PrometheusURL() string {
	return "http://127.0.0.1:" + strconv.Itoa(b.ports.prometheus)
}

// PID is the process id of the node.
func (b *Broker) PID() int { return b.process.PID() }

// Ctl runs rabbitmqctl on the node and returns what it wrote.
func (b *Broker) Ctl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, Ctl, args...) //nolint:gosec // what a test asks for
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), b.env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("rabbitmqctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// StopApp stops the broker inside its node: connections end and the ports
// close, as in an upgrade.
func (b *Broker) StopApp(ctx context.Context) error {
	_, err := b.Ctl(ctx, "stop_app")
	return err
}

// StartApp starts it again after StopApp.
func (b *Broker) StartApp(ctx context.Context) error {
	if _, err := b.Ctl(ctx, "start_app"); err != nil {
		return err
	}
	return b.await(ctx)
}

// Kill kills it with SIGKILL, as a crash would.
func (b *Broker) Kill() error { return b.process.Kill() }

// Stop ends it for good, its port mapper included.
func (b *Broker) Stop() error {
	if b.process != nil {
		_ = b.process.Kill() // what it stored is the test's, and goes with it
	}
	return b.epmd.leave()
}

// Tail is the end of what it wrote to its standard output.
func (b *Broker) Tail() string { return b.process.Tail() }
