package ircbot

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/signal"
)

// rig is a bot on a real store and a fake server, without a network between.
type rig struct {
	*Bot
	t        *testing.T
	dir      string
	store    *store.Store
	queue    *memory.Queue
	server   *ircd.Server
	registry *prometheus.Registry
	log      *logBuffer
	conf     Config
	q        Questions
	seq      uint64
	stop     func()
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// oneNetwork is a configuration with one channel, told what ops is.
func oneNetwork(change ...func(*Network)) Config {
	var n Network
	n.SetDefaults()
	n.Name, n.Servers = "test", []string{"irc.test:6667"}
	n.Channels = map[string]Channel{"#ops": {Receivers: []string{"ops"}}}
	for _, f := range change {
		f(&n)
	}
	return Config{n}
}

// inBubble runs a story on a clock that jumps.
func inBubble(t *testing.T, o ircd.Options, conf Config, story func(*rig)) {
	t.Helper()
	inBubbleWith(t, o, conf, nil, story)
}

func inBubbleWith(t *testing.T, o ircd.Options, conf Config, q Questions, story func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: t.TempDir(), server: ircd.New(o), conf: conf, q: q, log: &logBuffer{}}
		r.start()
		story(r)
		r.end()
	})
}

func (r *rig) start() {
	r.t.Helper()
	r.queue = memory.New()
	r.registry = prometheus.NewRegistry()
	var err error
	r.store, err = store.Open(r.t.Context(), store.Options{Dir: r.dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Bot, err = New(r.t.Context(), Options{
		Config: r.conf, Store: r.store, Queue: r.queue, Registry: r.registry, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Source: "ircbot/host1", Dial: r.server.Dial, Questions: r.q, MoreURL: "https://collie.test/",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	// What the bot tells the record goes through the store's own queue.
	err = r.store.Tx(r.t.Context(), func(tx *store.Tx) error {
		return r.store.Queue().Declare(tx, queue.Subscription{Topic: signal.TopicSignals, Name: "record"})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) end() {
	r.t.Helper()
	r.stop()
	r.server.Close()
	if err := r.queue.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// restart stops the bot as a clean stop does, and starts it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	if err := r.queue.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
	r.start()
}

// alert is what Alertmanager tells a receiver.
type alert struct {
	name, target, severity, summary string
	receiver                        string
	status                          signal.Status
	started                         time.Time
	repeat                          bool
	why                             string
	annotations                     map[string]string
}

func (r *rig) message(a alert) queue.Message {
	r.t.Helper()
	r.seq++
	return alertMessage(r.t, a, r.seq)
}

func alertMessage(t testing.TB, a alert, seq uint64) queue.Message {
	t.Helper()
	if a.receiver == "" {
		a.receiver = "ops"
	}
	if a.status == "" {
		a.status = signal.Firing
	}
	now := time.Now()
	if a.started.IsZero() {
		a.started = now
	}
	body, err := json.Marshal(signal.Alert{Receiver: a.receiver, GroupKey: "{}", Fingerprint: "f" + a.target, Repeat: a.repeat, Why: a.why})
	if err != nil {
		t.Fatal(err)
	}
	s := signal.Signal{
		ID: fmt.Sprintf("alerting/host1/%d", seq), Kind: signal.KindAlert, Source: "alerting/host1", Subject: signal.AlertSubject(a.name, "f"+a.target),
		Status: a.status, Seq: seq, Observed: now, Started: a.started, Labels: map[string]string{"alertname": a.name, "severity": a.severity},
		Annotations: map[string]string{"summary": a.summary}, Body: body,
	}
	if a.target != "" {
		s.Labels["target"] = a.target
	}
	maps.Copy(s.Annotations, a.annotations)
	if a.status == signal.Resolved {
		s.Ended = now
	}
	if s, err = signal.New(s); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return queue.Message{Topic: signal.TopicSignals, Key: s.ID, Body: raw}
}

// tell publishes alerts.
func (r *rig) tell(alerts ...alert) {
	r.t.Helper()
	msgs := make([]queue.Message, len(alerts))
	for i, a := range alerts {
		msgs[i] = r.message(a)
	}
	if err := r.queue.Publish(r.t.Context(), msgs...); err != nil {
		r.t.Fatal(err)
	}
}

// after lets time pass, and everything happen that happens in it.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// texts are what was said in a channel.
func (r *rig) texts(channel string) (texts []string) {
	for _, m := range r.server.Said(channel) {
		texts = append(texts, m.Text)
	}
	return texts
}

func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "collie_irc_"+name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue series
				}
			}
			switch {
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				return m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	r.t.Fatalf("no metric collie_irc_%s%v", name, labels)
	return 0
}
