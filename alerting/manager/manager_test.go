package manager

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/colliehq/collie/alerting/notifier"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

const quick = `
route: {receiver: r, group_by: [alertname], group_wait: 10ms, group_interval: 100ms, repeat_interval: 1h}
`

type harness struct {
	store   *store.Store
	queue   *sqlite.Queue
	manager *Manager
}

func open(t *testing.T, dir, text string) *harness {
	t.Helper()
	ctx, log, reg := t.Context(), slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: log, Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{store: s, queue: sqlite.New(s, sqlite.Options{})}
	if err := h.queue.Declare(ctx, queue.Subscription{Topic: signal.TopicSignals, Name: "test"}); err != nil {
		t.Fatal(err)
	}
	tables := os.DirFS("../migrations")
	if err := s.Migrate(ctx, "alerting", tables); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	h.manager, err = New(ctx, Options{
		Store: s, Log: log, Registry: reg, Now: time.Now, Notifier: notifier.New(s, "alerting/test", log, reg, time.Now),
		ExternalURL: &url.URL{Scheme: "http", Host: "h"}, Settings: Settings{Config: c},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

func (h *harness) close() {
	h.manager.Close()
	_ = h.store.Close()
}

func (h *harness) exec(t *testing.T, query string) {
	t.Helper()
	if err := h.store.Tx(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(query); return err }); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) request(method, path, body string) (int, string) {
	r := httptest.NewRequestWithContext(context.Background(), method, Prefix+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.manager.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const aSilence = `{"matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}],"startsAt":"2020-01-01T00:00:00Z",
	"endsAt":"2100-01-01T00:00:00Z","createdBy":"t","comment":"first"}`

// A change of a silence that fails at the last moment is taken back.
func TestSilenceThatCannotBeStoredIsTakenBack(t *testing.T) {
	h := open(t, t.TempDir(), quick+"receivers: [{name: r}]")
	code, text := h.request(http.MethodPost, "/api/v2/silences", aSilence)
	if code != http.StatusOK {
		t.Fatal(text)
	}
	id := strings.Split(text, `"`)[3]
	h.exec(t, `CREATE TRIGGER no BEFORE INSERT ON alerting_silences BEGIN SELECT RAISE(ABORT, 'no'); END`)

	if code, text := h.request(http.MethodDelete, "/api/v2/silence/"+id, ""); code != http.StatusServiceUnavailable {
		t.Errorf("DELETE: %d %s", code, text)
	}
	if code, text := h.request(http.MethodPost, "/api/v2/silences", strings.Replace(aSilence, `"b"`, `"c"`, 1)); code != http.StatusServiceUnavailable {
		t.Errorf("POST: %d %s", code, text)
	}
	if code, text := h.request(http.MethodPost, "/api/v2/silences", `{"id":"`+id+`",`+strings.Replace(aSilence[1:], "first", "second", 1)); code != http.StatusServiceUnavailable {
		t.Errorf("POST of a change: %d %s", code, text)
	}
	if _, text := h.request(http.MethodGet, "/api/v2/silence/"+id, ""); !strings.Contains(text, `"active"`) || !strings.Contains(text, "first") {
		t.Errorf("the silence is no longer what it was: %s", text)
	}
	ctx := context.Background()
	if !h.manager.silences.silencer.Mutes(ctx, model.LabelSet{"a": "b"}) || h.manager.silences.silencer.Mutes(ctx, model.LabelSet{"a": "c"}) {
		t.Error("the refused silence mutes, or the other one does not any more")
	}
	h.exec(t, `DROP TRIGGER no`)
	if code, text := h.request(http.MethodDelete, "/api/v2/silence/"+id, ""); code != http.StatusOK {
		t.Errorf("DELETE: %d %s", code, text)
	}
}

func TestSilencesFromOtherSitesAreRefused(t *testing.T) {
	h := open(t, t.TempDir(), quick+"receivers: [{name: r}]")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Prefix+"/api/v2/silences", strings.NewReader(aSilence))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.manager.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func fire(name string) *alert.Alert {
	now := time.Now()
	return &alert.Alert{UpdatedAt: now, Alert: model.Alert{
		Labels: model.LabelSet{"alertname": model.LabelValue(name)}, StartsAt: now, EndsAt: now.Add(time.Hour),
	}}
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// Integrations that tell by themselves do not tell again after a restart.
func TestOrdinaryWebhookIsNotToldAgainAfterARestart(t *testing.T) {
	var posts atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posts.Add(1) }))
	defer hook.Close()
	text := quick + "receivers: [{name: r, webhook_configs: [{url: " + hook.URL + "/other}]}]"
	dir := t.TempDir()
	h := open(t, dir, text)
	h.manager.Start()
	if err := h.manager.Alerts().Put(t.Context(), fire("A")); err != nil {
		t.Fatal(err)
	}
	await(t, "the webhook is posted", func() bool { return posts.Load() == 1 })
	await(t, "it is remembered", func() bool { return len(h.manager.journal.firing()) == 1 })
	h.close()

	h = open(t, dir, text)
	if got := h.manager.Alerts().Restored(); len(got) != 1 || got[0].Name() != "A" {
		t.Fatalf("restored %v", got)
	}
	if err := h.manager.Alerts().Put(t.Context(), fire("A"), fire("B")); err != nil {
		t.Fatal(err)
	}
	h.manager.Start()
	await(t, "the other alert is posted", func() bool { return posts.Load() == 2 })
	time.Sleep(300 * time.Millisecond) // group_interval three times
	if n := posts.Load(); n != 2 {
		t.Errorf("%d posts", n)
	}
}

// A recovery that was seen but not told before a crash is told after it, once.
func TestRecoveryThatWasNotToldIsToldAfterARestart(t *testing.T) {
	text := quick + `receivers: [{name: r, webhook_configs: [{url: "http://x/hook/alertmanager"}]}]`
	dir := t.TempDir()
	h := open(t, dir, text)
	h.manager.Start()
	a := fire("A")
	if err := h.manager.Alerts().Put(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	await(t, "it is told", func() bool { return h.waiting(t) == 1 })
	h.manager.mu.Lock()
	h.manager.halt() // nothing is told any more
	h.manager.mu.Unlock()
	over := *a
	over.EndsAt, over.UpdatedAt = time.Now(), time.Now()
	if err := h.manager.Alerts().Put(t.Context(), &over); err != nil {
		t.Fatal(err)
	}
	h.close()

	for range 2 { // the second start has nothing to tell
		h = open(t, dir, text)
		if got := h.manager.Alerts().Restored(); len(got) != 0 {
			t.Fatalf("restored as firing: %v", got)
		}
		h.manager.Start()
		await(t, "its recovery is told", func() bool { return h.waiting(t) == 2 })
		time.Sleep(300 * time.Millisecond)
		if n := h.waiting(t); n != 2 {
			t.Errorf("%d signals", n)
		}
		h.close()
	}
}

func (h *harness) waiting(t *testing.T) int {
	t.Helper()
	entries, err := h.queue.Peek(t.Context(), "test", queue.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// What the queue does not take is tried again, and the log does not say that it
// was told.
func TestQueueThatRefusesIsTriedAgain(t *testing.T) {
	h := open(t, t.TempDir(), quick+`receivers: [{name: r, webhook_configs: [{url: "http://x/hook/alertmanager"}]}]`)
	h.exec(t, `CREATE TRIGGER no BEFORE INSERT ON alerting_notifications BEGIN SELECT RAISE(ABORT, 'no'); END`)
	h.manager.Start()
	if err := h.manager.Alerts().Put(t.Context(), fire("A")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if n := h.waiting(t); n != 0 || len(h.manager.journal.firing()) != 0 {
		t.Fatalf("%d signals without an entry in the log", n)
	}
	h.exec(t, `DROP TRIGGER no`)
	await(t, "it is told", func() bool { return h.waiting(t) == 1 })
}

func TestCheckConfig(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"default":  {DefaultConfig, ""},
		"sns":      {"route: {receiver: r}\nreceivers: [{name: r, sns_configs: [{topic_arn: 'arn:x', sigv4: {region: eu}}]}]", "sns_configs is not in this program"},
		"template": {"route: {receiver: r}\nreceivers: [{name: r}]\ntemplates: ['testdata/bad.tmpl']", "templates"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			err = CheckConfig(c)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
