package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/ledger/client"
)

// fake answers every path with its text.
func fake(t *testing.T, answers map[string]string) *client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return &client.Client{URL: server.URL, HTTP: server.Client(), Zone: time.UTC, Now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	where := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := &client.Client{URL: where, HTTP: http.DefaultClient}
	_, err = c.Status(t.Context(), io.Discard, client.StatusOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "cannot reach Collie at "+where+": ") || !strings.HasSuffix(err.Error(), "; is it running? use --url if it is elsewhere") {
		t.Errorf("error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx, io.Discard, client.StatusOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped by the user: %v", err)
	}
}

// The address may hold a password, and what is said may end in a log.
func TestErrorsTellNoPassword(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
	}))
	secretive := strings.Replace(server.URL, "http://", "http://alice:hunter2@", 1)
	c := &client.Client{URL: secretive, HTTP: server.Client()}
	_, unknown := c.Status(t.Context(), io.Discard, client.StatusOptions{})
	server.Close()
	_, away := c.Status(t.Context(), io.Discard, client.StatusOptions{})
	for err, want := range map[error]string{unknown: "wants a user and a password", away: "cannot reach Collie at http://alice:<secret>@"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	c := fake(t, map[string]string{
		"/api/collie/v1/why":       `{"status":"error","error":"no such target: x"}`,
		"/api/collie/v1/downtimes": `<html>a proxy's page</html>`,
	})
	tests := map[string]struct {
		do   func() error
		want string
	}{
		"what the server says": {func() error { return c.Why(t.Context(), io.Discard, client.WhyOptions{Subject: "target/x"}) }, "no such target: x"},
		"not Collie":           {func() error { return c.Downtimes(t.Context(), io.Discard, client.DowntimesOptions{}) }, `answered "200 OK", but not as Collie does; does --url point to Collie?`},
		"nothing there": {func() error {
			_, err := c.Status(t.Context(), io.Discard, client.StatusOptions{})
			return err
		}, `answered "404 Not Found", but not as Collie does`},
		"output": {func() error { return c.Downtimes(t.Context(), io.Discard, client.DowntimesOptions{Output: "xml"}) }, `--output "xml" is not one of table, json, csv`},
		"since":  {func() error { return c.Downtimes(t.Context(), io.Discard, client.DowntimesOptions{Since: "30"}) }, "--since 30 has no unit; write 30d for days or 30h for hours"},
		"until":  {func() error { return c.Downtimes(t.Context(), io.Discard, client.DowntimesOptions{Until: "7"}) }, "--until 7 has no unit"},
		"tz":     {func() error { return c.Downtimes(t.Context(), io.Discard, client.DowntimesOptions{Zone: "UTC"}) }, "--tz UTC goes with --by month"},
		"address": {func() error {
			return (&client.Client{URL: "localhost:9797", HTTP: c.HTTP}).Why(t.Context(), io.Discard, client.WhyOptions{Subject: "x"})
		}, `--url "localhost:9797" is not an address; write one as http://localhost:9797`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.do(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestHostileTexts: what a watched server says steers neither the terminal nor
// a spreadsheet.
func TestHostileTexts(t *testing.T) {
	const evil = `=HYPERLINK(\"http://x\")\u001b]0;owned\u0007\u202ename\r\nnext`
	c := fake(t, map[string]string{
		"/api/collie/v1/downtimes": `{"status":"success","data":[{"target":"web","from":"2026-11-22T08:00:00Z","to":null,"end":"open","seconds":3600,"window_seconds":3600,"cause":"` + evil + `"}]}`,
		"/api/collie/v1/targets":   `{"status":"success","data":[{"name":"web","state":"down","since":"2026-11-22T08:00:00Z","cause":"` + evil + `","source":"e"}]}`,
		"/api/collie/v1/why": `{"status":"success","data":{"subject":"target/web","since":"2026-11-22T08:00:00Z","target":{"name":"web","state":"down","address":"` + evil + `"},
			"steps":[{"at":"2026-11-22T08:00:00Z","what":"seen","text":"` + evil + `","detail":"` + evil + `"}]}}`,
	})
	var out strings.Builder
	if _, err := c.Status(t.Context(), &out, client.StatusOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Downtimes(t.Context(), &out, client.DowntimesOptions{}), c.Why(t.Context(), &out, client.WhyOptions{Subject: "web"})); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u202e") {
		t.Errorf("control characters reach the terminal: %q", out.String())
	}
	out.Reset()
	if err := c.Downtimes(t.Context(), &out, client.DowntimesOptions{Output: "csv"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), `,"=`) || strings.Contains(out.String(), ",=") || !strings.Contains(out.String(), `"'=HYPERLINK`) {
		t.Errorf("a formula is left: %s", out.String())
	}
}

func TestColor(t *testing.T) {
	c := fake(t, map[string]string{"/api/collie/v1/targets": `{"status":"success","data":[
		{"name":"web","state":"up","since":"2026-11-22T08:00:00Z"},{"name":"database","state":"down","since":"2026-11-22T08:00:00Z"}]}`})
	var plain, painted strings.Builder
	if _, err := c.Status(t.Context(), &plain, client.StatusOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Color = true
	if _, err := c.Status(t.Context(), &painted, client.StatusOptions{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(painted.String(), "\x1b[31mdown\x1b[0m") || !strings.Contains(painted.String(), "\x1b[32mup\x1b[0m") {
		t.Errorf("no colours: %q", painted.String())
	}
	without := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[2m", "", "\x1b[0m", "").Replace(painted.String())
	if diff := cmp.Diff(plain.String(), without); diff != "" {
		t.Errorf("colours change the layout (-plain +painted):\n%s", diff)
	}
}
