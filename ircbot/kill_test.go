package ircbot

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
)

const (
	childDir    = "COLLIE_IRCBOT_CHILD_DIR"
	childServer = "COLLIE_IRCBOT_CHILD_SERVER"
	childFrom   = "COLLIE_IRCBOT_CHILD_FROM"
	killAlerts  = 300
)

// TestMain runs the bot itself when a test asks for a process that it can kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir, os.Getenv(childServer), os.Getenv(childFrom)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child publishes alerts and says them, until it is killed. It prints the number
// of each alert once the queue has taken it.
func child(dir, server, from string) error {
	ctx := context.Background()
	begin, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		return err
	}
	q := sqlite.New(s, sqlite.Options{})
	conf := oneNetwork(func(n *Network) {
		n.Servers = []string{server}
		n.Rate = Rate{Burst: 20, Every: 10 * time.Millisecond}
		n.Reconnect = Reconnect{Floor: 20 * time.Millisecond, Max: 20 * time.Millisecond}
	})
	b, err := New(ctx, Options{Config: conf, Store: s, Queue: q, Registry: prometheus.NewRegistry(), Log: log, Source: "ircbot/host1"})
	if err != nil {
		return err
	}
	go func() {
		for i := begin; i < killAlerts; i++ {
			m := alertMessage(childT{}, alert{name: "Down", target: fmt.Sprintf("host%03d", i), severity: "warning", summary: "gone"}, uint64(i+1))
			if err := q.Publish(ctx, m); err != nil {
				panic(err)
			}
			fmt.Println(i)
			time.Sleep(4 * time.Millisecond)
		}
	}()
	return b.Run(ctx)
}

// childT stands in for the test in a process that is none.
type childT struct{ testing.TB }

func (childT) Helper()        {}
func (childT) Fatal(a ...any) { panic(fmt.Sprint(a...)) }

// Killed again and again, at any moment, the bot loses no alert that the queue
// took, says them in order, and marks what it says twice.
func TestKill(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := ircd.New(ircd.Options{Caps: ircd.Modern()})
	server.Listen(listener)
	t.Cleanup(func() {
		listener.Close()
		server.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir, accepted, kills := t.TempDir(), 0, 0
	for all := false; !all; kills++ {
		if ctx.Err() != nil {
			t.Fatalf("after %d kills, %d of %d alerts are said: %v", kills, len(firsts(server)), accepted, ctx.Err())
		}
		life := time.Duration(rand.IntN(150)) * time.Millisecond
		if accepted == killAlerts {
			life += time.Second
		}
		accepted = lifetime(ctx, t, dir, listener.Addr().String(), accepted, life)
		all = accepted == killAlerts && len(firsts(server)) == killAlerts
	}
	checkTold(t, server)
	t.Logf("%d alerts, %d kills, %d lines", killAlerts, kills, len(server.Said("#ops")))
}

// lifetime lets a child live for a while, and returns the number of the next
// alert to publish: those that it printed are accepted.
func lifetime(ctx context.Context, t *testing.T, dir, server string, from int, life time.Duration) int {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childServer+"="+server, childFrom+"="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The queue holds back for a while what two processes died of, one after the
	// other: each lives long enough, once it is up, to take what the last one left.
	begin := time.Now()
	timer := time.AfterFunc(time.Hour, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if from == killAlerts {
		timer.Reset(life)
	}
	up := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if !up {
			up = true
			timer.Reset(2*time.Since(begin) + life)
		}
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the child wrote %q", lines.Text())
		}
		from = n + 1
	}
	if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatal(err)
	}
	return from
}

var saidHost = regexp.MustCompile(`^(\[[0-9a-f]{3}\] )?FIRING warning (host\d+) Down: gone$`)

// firsts are the hosts in the order in which they were first told of.
func firsts(server *ircd.Server) (hosts []string) {
	seen := map[string]bool{}
	for _, m := range server.Said("#ops") {
		if f := saidHost.FindStringSubmatch(m.Text); f != nil && !seen[f[2]] {
			seen[f[2]] = true
			hosts = append(hosts, f[2])
		}
	}
	return hosts
}

func checkTold(t *testing.T, server *ircd.Server) {
	t.Helper()
	for i, host := range firsts(server) {
		if want := fmt.Sprintf("host%03d", i); host != want {
			t.Fatalf("%s was told of as number %d: the order is lost", host, i)
		}
	}
	seen := map[string]bool{}
	for _, m := range server.Said("#ops") {
		f := saidHost.FindStringSubmatch(m.Text)
		if f == nil {
			t.Fatalf("strange line: %s", m.Text)
		}
		if seen[f[2]] && f[1] == "" {
			t.Errorf("said again without a mark: %s", m.Text)
		}
		seen[f[2]] = true
	}
}
