package ircbot

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/signal"
)

// newRealRig is a bot on a real clock and a real server.
func newRealRig(t *testing.T, conf Config) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), conf: conf, log: &logBuffer{}, queue: memory.New(), registry: prometheus.NewRegistry()}
	var err error
	r.store, err = store.Open(t.Context(), store.Options{Dir: r.dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.Bot, err = New(t.Context(), Options{
		Config: conf, Store: r.store, Queue: r.queue, Registry: r.registry, Log: slog.New(slog.NewTextHandler(r.log, nil)), Source: "ircbot/host1",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.queue.Close(); err != nil {
			t.Error(err)
		}
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.log)
		}
	})
	return r
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// The bot is understood by servers that people use: with labelled echoes and an
// account, and without any of it.
func TestRealServers(t *testing.T) {
	need.Program(t, "inspircd", "ngircd", "atheme-services")
	for name, c := range map[string]struct {
		start  func(context.Context, string) (*ircd.Real, error)
		sasl   bool
		method string
	}{
		"InspIRCd": {func(ctx context.Context, dir string) (*ircd.Real, error) { return ircd.StartInspIRCd(ctx, dir, true) }, true, byLabel},
		"ngIRCd":   {ircd.StartNgIRCd, false, byBarrier},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			server, err := c.start(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			conf := oneNetwork(func(n *Network) {
				n.Servers = []string{server.Address}
				n.Reconnect = Reconnect{Floor: time.Second, Max: time.Second}
			})
			if c.sasl {
				if err := server.Register(ctx, "watcher", "secret123"); err != nil {
					t.Fatal(err)
				}
				conf[0].SASL = SASL{Account: "watcher", PasswordFile: secretFile(t, "secret123"), Required: true}
			}
			realDelivery(ctx, t, server, conf, c.method)
		})
	}
}

func realDelivery(ctx context.Context, t *testing.T, server *ircd.Real, conf Config, method string) {
	t.Helper()
	person, err := ircd.Connect(ctx, server.Address, "person")
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	if err := person.Join(ctx, "#ops"); err != nil {
		t.Fatal(err)
	}
	r := newRealRig(t, conf)
	if err := await(ctx, func() bool { return r.metric("channels_joined") == 1 }); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("zażółć gęślą jaźń ", 40)
	start := time.Now()
	for i := range 3 {
		r.tell(alert{name: "Down", target: fmt.Sprint("host", i), severity: "critical", summary: fmt.Sprint("trouble ", i), started: start})
	}
	r.tell(alert{name: "Long", target: "host9", severity: "warning", summary: long, started: start})
	r.tell(alert{name: "Down", target: "host0", severity: "critical", summary: "trouble 0", status: signal.Resolved, started: start})
	r.tell(alert{name: heartbeatAlert, receiver: heartbeatReceiver, severity: "none"})
	err = person.Await(ctx, "all lines", func([]string) bool { return len(person.Heard("#ops")) >= 4+3 })
	if err != nil {
		t.Fatal(err)
	}
	if err := await(ctx, func() bool {
		return r.metric("confirmations_total", "method", method) >= 5 && r.metric("spool_lines", "state", "sent") == 0
	}); err != nil {
		t.Errorf("%v lines confirmed by %s, want 5: %v", r.metric("confirmations_total", "method", method), method, err)
	}
	var words strings.Builder
	for _, h := range person.Heard("#ops") {
		if h.From != "collie" {
			t.Errorf("said by %s: %s", h.From, h.Text)
		}
		if strings.Contains(h.Text, "zażółć") {
			words.WriteString(h.Text[:strings.LastIndex(h.Text, " (")] + " ")
		}
	}
	if !strings.Contains(strings.Join(strings.Fields(words.String()), " "), strings.TrimSpace(long)) {
		t.Errorf("the long text did not arrive whole: %q", words.String())
	}
	for _, l := range person.Heard("#ops") {
		if strings.Contains(l.Text, "heartbeat") {
			t.Errorf("the dead man's switch was shown to people: %s", l.Text)
		}
	}
	if got := r.metric("echo_age_seconds"); got > 60 {
		t.Errorf("the dead man's switch came back %v s ago", got)
	}
	if err := person.Send("PRIVMSG #ops :!help"); err != nil {
		t.Fatal(err)
	}
	err = person.Await(ctx, "an answer", func([]string) bool {
		h := person.Heard("#ops")
		return h[len(h)-1].Text == helpText
	})
	if err != nil {
		t.Error(err)
	}
}

func await(ctx context.Context, holds func() bool) error {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// A server that does not know our account, or a wrong password, keeps us out of
// every channel.
func TestRealAccountIsRequired(t *testing.T) {
	need.Program(t, "inspircd", "atheme-services")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := ircd.StartInspIRCd(ctx, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r := newRealRig(t, oneNetwork(func(n *Network) {
		n.Servers = []string{server.Address}
		n.SASL = SASL{Account: "nobody", PasswordFile: secretFile(t, "wrong"), Required: true}
	}))
	if err := await(ctx, func() bool { s := r.State(); return len(s) == 1 && s[0].Error != "" }); err != nil {
		t.Fatal(err)
	}
	if got := r.State()[0].Error; !strings.Contains(got, "not logged in") {
		t.Errorf("the error is %q", got)
	}
}

// 500 alerts in a second do not get us thrown out of servers with their default
// limits, and arrive.
func TestRealStorm(t *testing.T) {
	need.Program(t, "inspircd", "ngircd")
	for name, start := range map[string]func(context.Context, string) (*ircd.Real, error){
		"InspIRCd": func(ctx context.Context, dir string) (*ircd.Real, error) { return ircd.StartInspIRCd(ctx, dir, false) },
		"ngIRCd":   ircd.StartNgIRCd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			server, err := start(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			person, err := ircd.Connect(ctx, server.Address, "person")
			if err != nil {
				t.Fatal(err)
			}
			defer person.Close()
			if err := person.Join(ctx, "#ops"); err != nil {
				t.Fatal(err)
			}
			r := newRealRig(t, oneNetwork(func(n *Network) { n.Servers = []string{server.Address} }))
			if err := await(ctx, func() bool { return r.metric("channels_joined") == 1 }); err != nil {
				t.Fatal(err)
			}
			for i := range 500 {
				severity := "warning"
				if i%200 == 77 {
					severity = "critical"
				}
				r.tell(alert{name: fmt.Sprint("Kind", i%4), target: fmt.Sprint("host", i), severity: severity, summary: "is in trouble"})
			}
			heard := func() (texts []string) {
				for _, h := range person.Heard("#ops") {
					texts = append(texts, h.Text)
				}
				return texts
			}
			if err := await(ctx, func() bool { return alertsIn(t, heard()) >= 500 && r.metric("spool_lines", "state", "sent") == 0 }); err != nil {
				t.Fatalf("%v: %s", err, strings.Join(heard(), "\n"))
			}
			if got := alertsIn(t, heard()); got != 500 || len(heard()) > 12 {
				t.Errorf("%d lines tell of %d alerts:\n%s", len(heard()), got, strings.Join(heard(), "\n"))
			}
			if got := r.metric("reconnects_total"); got != 0 {
				t.Errorf("thrown out %v times", got)
			}
		})
	}
}
