// Package roads holds what several rooms have to get right together: whoever
// tells of an alert, it reaches people on the same road.
package roads

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/alerting/notifier"
	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/ircbot"
	"github.com/colliehq/collie/ledger"
	"github.com/colliehq/collie/signal"
	"github.com/colliehq/collie/webhook"
)

const (
	hang   = 60 * time.Second
	secret = "of the roads"
	fixed  = "../../webhook/sender/testdata"
)

// stage is one Collie with hooks, record and IRC, on a real store.
type stage struct {
	t      *testing.T
	store  *store.Store
	queue  *sqlite.Queue
	hooks  *webhook.Webhook
	ledger *ledger.Ledger
	irc    *ircd.Server
}

func open(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, irc: ircd.New(ircd.Options{Caps: ircd.Modern()})}
	log := slog.New(slog.DiscardHandler)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.store, err = store.Open(t.Context(), store.Options{Dir: t.TempDir(), Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	must(err)
	s.queue = sqlite.New(s.store, sqlite.Options{})
	s.ledger, err = ledger.New(ledger.Options{Config: ledger.Default(), Store: s.store, Queue: s.queue, Registry: prometheus.NewRegistry(), Log: log})
	must(err)
	bot, err := ircbot.New(t.Context(), ircbot.Options{
		Config: network(), Store: s.store, Queue: s.queue, Registry: prometheus.NewRegistry(), Log: log, Source: "ircbot/h", Dial: s.irc.Dial,
	})
	must(err)
	must(s.queue.Declare(t.Context(), queue.Subscription{Topic: signal.TopicSignals, Name: "watch"}))
	s.hooks, err = webhook.New(t.Context(), webhook.Options{
		Config: hooks(t), Store: s.store, Queue: s.queue, Registry: prometheus.NewRegistry(), Log: log, Source: "webhook/h",
	})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, task := range []interface {
		Run(ctx context.Context) error
		Ready() <-chan struct{}
	}{s.ledger, bot, s.hooks.Mapper(), s.hooks.Listener()} {
		wg.Go(func() {
			if err := task.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		<-task.Ready()
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		s.irc.Close()
		if err := s.queue.Close(); err != nil {
			t.Error(err)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func network() ircbot.Config {
	var n ircbot.Network
	n.SetDefaults()
	n.Name, n.Servers = "test", []string{"irc.test:6667"}
	n.Rate.Every = 10 * time.Millisecond
	n.Channels = map[string]ircbot.Channel{"#ops": {Receivers: []string{"ops", "sentry"}}}
	return ircbot.Config{n}
}

func hooks(t *testing.T) webhook.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	c := webhook.Default()
	c.ListenAddress = "127.0.0.1:0"
	for _, name := range []string{"grafana", "sentry"} {
		c.Hooks = append(c.Hooks, webhook.Hook{Name: name, Sender: name, SecretFiles: []string{file}, Window: 5 * time.Minute})
	}
	c.Hooks = append(c.Hooks, webhook.Hook{Name: "alertmanager", Sender: "alertmanager", TokenFiles: []string{file}, Window: 5 * time.Minute})
	return c
}

// post sends a recorded delivery as its sender signs it, and returns its id.
func (s *stage) post(hook, name string) string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixed, name+".http"))
	if err != nil {
		s.t.Fatal(err)
	}
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(string(head) + "\n\n"))).ReadMIMEHeader()
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.hooks.Listener().Address()+"/hook/"+hook, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = http.Header(h)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	signature := hex.EncodeToString(mac.Sum(nil))
	req.Header.Set("X-Grafana-Alerting-Signature", signature)
	req.Header.Set("Sentry-Hook-Signature", signature)
	req.Header.Set("Authorization", "Bearer "+secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var said struct{ ID, Error string }
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || res.StatusCode != http.StatusAccepted {
		s.t.Fatalf("%d %s %v", res.StatusCode, said.Error, err)
	}
	return said.ID
}

// heard waits for a line in the channel.
func (s *stage) heard(part string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), hang)
	defer cancel()
	err := s.irc.Await(ctx, part, func() bool {
		return slices.ContainsFunc(s.irc.Said("#ops"), func(m ircd.Said) bool { return strings.Contains(m.Text, part) })
	})
	if err != nil {
		s.t.Fatalf("%v\n%v", err, s.irc.Said("#ops"))
	}
}

// Alerts of Grafana, Sentry and an Alertmanager outside are said on IRC as those
// of the one inside, and the record tells the whole way of each delivery.
func TestAlertsOfOthersReachIRC(t *testing.T) {
	s := open(t)
	s.post("alertmanager", "alertmanager-firing")
	s.heard("FIRING critical db1:9100 DiskFull: db1 has no room")
	s.post("grafana", "grafana-firing")
	s.heard("FIRING warning High memory usage: This alert was triggered for zone us-1")
	id := s.post("sentry", "sentry-event-alert")
	s.heard("FIRING warning SentryIssue: ReferenceError: heck is not defined")
	s.post("sentry", "sentry-issue-resolved")
	s.heard("RESOLVED warning SentryIssue")
	begin := time.Now()
	for {
		story, err := s.ledger.Why(t.Context(), "delivery/"+id, time.Time{})
		var told []string
		for _, step := range story.Steps {
			told = append(told, step.Text)
		}
		text := strings.Join(told, "\n")
		if err == nil && strings.Contains(text, "said in #ops on test, confirmed by") {
			for _, want := range []string{"received by hook sentry", "stored on the disk", "handled, ", "confirmed: the queue", "firing alert SentryIssue"} {
				if !strings.Contains(text, want) {
					t.Errorf("the story lacks %q:\n%s", want, text)
				}
			}
			return
		}
		if time.Since(begin) > hang {
			t.Fatalf("the record does not tell that the line was said: %v\n%s", err, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The signals are those that the embedded Alertmanager's notifier writes for the
// same notification, but for who says it, when, and with which delivery it came.
func TestSignalsAreThoseOfTheNotifier(t *testing.T) {
	s := open(t)
	raw, err := os.ReadFile(filepath.Join(fixed, "alertmanager-firing.http"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(raw, []byte("\n\n"))
	n, err := notification.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	id := s.post("alertmanager", "alertmanager-firing")
	from := s.alerts("webhook/h", len(n.Alerts))
	err = s.store.Migrate(t.Context(), "alerting", os.DirFS("../../alerting/migrations"))
	if err != nil {
		t.Fatal(err)
	}
	inside := notifier.New(s.store, "alerting/h", slog.New(slog.DiscardHandler), prometheus.NewRegistry(), time.Now)
	if err := inside.Receive(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	want := s.alerts("alerting/h", len(n.Alerts))
	for i := range want {
		if from[i].Annotations["delivery"] != "delivery/"+id {
			t.Errorf("the signal does not name its delivery: %v", from[i].Annotations)
		}
		delete(from[i].Annotations, "delivery")
		for _, one := range []*signal.Signal{&from[i], &want[i]} {
			one.ID, one.Source, one.Seq, one.Observed = "", "", 0, time.Time{}
		}
	}
	if diff := cmp.Diff(want, from); diff != "" {
		t.Errorf("inside and outside differ (-inside +webhook):\n%s", diff)
	}
}

// alerts waits for signals of kind alert of a source.
func (s *stage) alerts(source string, n int) (found []signal.Signal) {
	s.t.Helper()
	for begin := time.Now(); time.Since(begin) < hang; time.Sleep(5 * time.Millisecond) {
		entries, err := s.queue.Peek(s.t.Context(), "watch", queue.Filter{})
		if err != nil {
			s.t.Fatal(err)
		}
		found = nil
		for _, e := range entries {
			var one signal.Signal
			if err := json.Unmarshal(e.Body, &one); err != nil {
				s.t.Fatal(err)
			}
			if one.Kind == signal.KindAlert && one.Source == source {
				found = append(found, one)
			}
		}
		if len(found) == n {
			return found
		}
	}
	s.t.Fatalf("%d alerts of %s, want %d", len(found), source, n)
	return nil
}
