package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/admin"
	"github.com/colliehq/collie/internal/queue/admin/client"
	"github.com/colliehq/collie/internal/queue/memory"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// started is a queue with a subscription "webhook" on SQLite and one "ircbot"
// in memory, behind the API.
func started(t *testing.T) (q queue.Queue, c *client.Client) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	must(t, err)
	local := sqlite.New(s, sqlite.Options{})
	other := memory.New()
	t.Cleanup(func() { must(t, errors.Join(local.Close(), s.Close(), other.Close())) })
	must(t, local.Declare(t.Context(), queue.Subscription{Topic: "deliveries", Name: "webhook"}))
	must(t, other.Declare(t.Context(), queue.Subscription{Topic: "signals", Name: "ircbot", OnFull: queue.Spill}))
	mux := http.NewServeMux()
	admin.New(log, admin.Engine{Name: "sqlite", Queue: local}, admin.Engine{Name: "memory", Queue: other}).Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return local, &client.Client{URL: server.URL, HTTP: server.Client(), Zone: time.UTC}
}

// park publishes messages and sets them aside.
func park(t *testing.T, q queue.Queue, bodies map[string]string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	in, err := q.Consume(ctx, "webhook", queue.Options{})
	must(t, err)
	for key, body := range bodies {
		must(t, q.Publish(t.Context(), queue.Message{Topic: "deliveries", Key: key, Headers: map[string]string{"hook": "gitlab"}, Body: []byte(body)}))
		select {
		case d := <-in:
			must(t, d.Park(t.Context(), errors.New("held: look at "+d.Key)))
		case <-time.After(time.Minute):
			t.Fatal("nothing was delivered")
		}
	}
}

func TestPeekRedriveExport(t *testing.T) {
	q, c := started(t)
	park(t, q, map[string]string{"k1": "{\n  \"a\": \"\x1b]0;owned\x07\"\n}"})
	must(t, q.Publish(t.Context(), queue.Message{Topic: "deliveries", Key: "binary", Body: []byte{0xff, 0}, NotBefore: time.Now().Add(time.Hour)}))

	var out strings.Builder
	must(t, c.Stats(t.Context(), &out, client.Table))
	for _, want := range []string{"SUBSCRIPTION", "webhook", "ircbot", "memory", "1 message set aside for a person; look at them with collie queue peek"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}

	out.Reset()
	must(t, c.Peek(t.Context(), &out, "webhook", client.PeekOptions{Body: true}))
	for _, want := range []string{"k1\n", "parked", "held: look at k1", "hook", "gitlab", "2 B that are no text", "    \"a\": \"·]0;owned·\"", "delayed", "due"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if strings.ContainsAny(out.String(), "\x1b\x07") {
		t.Errorf("control characters reach the terminal: %q", out.String())
	}

	out.Reset()
	must(t, c.Export(t.Context(), &out, "webhook", ""))
	var got []string
	for line := range strings.Lines(out.String()) {
		var m admin.Message
		must(t, json.Unmarshal([]byte(line), &m))
		body := m.Binary
		if m.Body != nil {
			body = []byte(*m.Body)
		}
		got = append(got, fmt.Sprintf("%s %s %q", m.Key, m.State, body))
	}
	want := []string{`k1 parked "{\n  \"a\": \"\x1b]0;owned\a\"\n}"`, `binary delayed "\xff\x00"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("export (-want +got):\n%s", diff)
	}

	out.Reset()
	must(t, c.Redrive(t.Context(), &out, "webhook", []string{"k1"}, client.Table))
	if out.String() != "1 message of webhook ready again\n" {
		t.Errorf("got %q", out.String())
	}
	entries, err := q.Peek(t.Context(), "webhook", queue.Filter{State: queue.Ready})
	must(t, err)
	if len(entries) != 1 || entries[0].Key != "k1" || entries[0].Attempt != 0 {
		t.Errorf("ready: %+v", entries)
	}
	if err := c.Redrive(t.Context(), &out, "webhook", []string{"k1"}, client.Table); err == nil || err.Error() != "no parked or spilled message of webhook has such a key" {
		t.Errorf("error %v", err)
	}
}

func TestJSON(t *testing.T) {
	q, c := started(t)
	park(t, q, map[string]string{"k1": "a", "k2": "b"})
	var out bytes.Buffer
	must(t, c.Stats(t.Context(), &out, client.JSON))
	var stats []admin.Subscription
	must(t, json.Unmarshal(out.Bytes(), &stats))
	if len(stats) != 2 || stats[0].Name != "webhook" || stats[0].Parked != 2 || stats[1].OnFull != "spill" || stats[0].Limit != 1_000_000 {
		t.Errorf("got %+v", stats)
	}
	out.Reset()
	must(t, c.Peek(t.Context(), &out, "webhook", client.PeekOptions{State: "parked", Limit: 1, Output: client.JSON}))
	var messages []admin.Message
	must(t, json.Unmarshal(out.Bytes(), &messages))
	if len(messages) != 1 || messages[0].Size != 1 || messages[0].Body != nil {
		t.Errorf("got %+v", messages)
	}
	out.Reset()
	must(t, c.Redrive(t.Context(), &out, "webhook", nil, client.JSON))
	if !strings.Contains(out.String(), `"redriven": 2`) {
		t.Errorf("got %s", out.String())
	}
}

func TestMistakesOfUsers(t *testing.T) {
	_, c := started(t)
	for want, do := range map[string]func() error{
		`no subscription "webhok"; did you mean "webhook"?`: func() error { return c.Peek(t.Context(), new(bytes.Buffer), "webhok", client.PeekOptions{}) },
		`no subscription "x"; it can be ircbot, webhook`:    func() error { return c.Redrive(t.Context(), new(bytes.Buffer), "x", nil, "") },
		`no subscription "a/b"; it can be ircbot, webhook`:  func() error { return c.Export(t.Context(), new(bytes.Buffer), "a/b", "") },
		`no state "park"; did you mean "parked"?`: func() error {
			return c.Peek(t.Context(), new(bytes.Buffer), "webhook", client.PeekOptions{State: "park"})
		},
		`limit "5000" is no number from 1 to 1000`: func() error {
			return c.Peek(t.Context(), new(bytes.Buffer), "webhook", client.PeekOptions{Limit: 5000})
		},
		`--url "x" is not an address; write one as http://localhost:9797`: func() error {
			return (&client.Client{URL: "x"}).Stats(t.Context(), new(bytes.Buffer), "")
		},
	} {
		if err := do(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Redriving acts: a page elsewhere must not make its reader's browser do it,
// and what is not understood does nothing.
func TestRedriveRefuses(t *testing.T) {
	q, c := started(t)
	park(t, q, map[string]string{"k1": "a"})
	for name, tt := range map[string]struct {
		kind, site, body string
		want             int
	}{
		"another site":   {"application/json", "cross-site", `{"all":true}`, 403},
		"a form":         {"application/x-www-form-urlencoded", "", `{"all":true}`, 415},
		"plain text":     {"text/plain", "", `{"all":true}`, 415},
		"nothing chosen": {"application/json", "", `{}`, 400},
		"both":           {"application/json", "", `{"all":true,"keys":["k1"]}`, 400},
		"unknown word":   {"application/json", "", `{"al":true}`, 400},
		"two values":     {"application/json", "", `{"all":true}{"all":true}`, 400},
		"empty key":      {"application/json", "", `{"keys":[""]}`, 400},
		"too many":       {"application/json", "", `{"keys":["` + strings.Repeat(`x","`, 1000) + `x"]}`, 400},
		"too large":      {"application/json", "", `{"keys":["` + strings.Repeat(`x`, 1<<20) + `"]}`, 413},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+admin.Path+"/webhook/redrive", strings.NewReader(tt.body))
		must(t, err)
		req.Header.Set("Content-Type", tt.kind)
		req.Header.Set("Sec-Fetch-Site", tt.site)
		resp, err := c.HTTP.Do(req)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tt.want)
		}
	}
	stats, err := q.Stats(t.Context())
	must(t, err)
	if stats[0].Parked != 1 {
		t.Errorf("got %+v", stats[0])
	}
}

// An engine that does not answer hides no other.
func TestEngineAway(t *testing.T) {
	away := memory.New()
	must(t, away.Close())
	here := memory.New()
	must(t, here.Declare(t.Context(), queue.Subscription{Topic: "t", Name: "s"}))
	mux := http.NewServeMux()
	admin.New(slog.New(slog.DiscardHandler), admin.Engine{Name: "sqlite", Queue: here}, admin.Engine{Name: "rabbitmq", Queue: away}).Register(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	c := &client.Client{URL: server.URL, HTTP: server.Client()}
	var out strings.Builder
	must(t, c.Stats(t.Context(), &out, ""))
	if !strings.Contains(out.String(), "not shown: rabbitmq: queue is closed") {
		t.Errorf("got %s", out.String())
	}
	must(t, c.Peek(t.Context(), &out, "s", client.PeekOptions{}))
	if err := c.Peek(t.Context(), &out, "remote", client.PeekOptions{}); err == nil || !strings.Contains(err.Error(), "queue is closed") {
		t.Errorf("error %v", err)
	}
}

// An export of many goes through in pages; one that breaks off is told.
func TestExportOfMany(t *testing.T) {
	q, c := started(t)
	var msgs []queue.Message
	for n := range 1234 {
		msgs = append(msgs, queue.Message{Topic: "deliveries", Key: fmt.Sprint(n), Body: bytes.Repeat([]byte("x"), 10_000)})
	}
	must(t, q.Publish(t.Context(), msgs...))
	var out strings.Builder
	must(t, c.Export(t.Context(), &out, "webhook", "ready"))
	if n := strings.Count(out.String(), "\n"); n != len(msgs) {
		t.Errorf("%d lines, want %d", n, len(msgs))
	}
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "{}") }))
	defer cut.Close()
	c.URL = cut.URL
	if err := c.Export(t.Context(), &out, "webhook", ""); err == nil || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("error %v", err)
	}
}
