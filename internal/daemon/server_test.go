package daemon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/daemon"
)

// serve runs a server with the admin endpoints until the test ends.
func serve(t *testing.T, webConfig string, admin daemon.Admin) string {
	t.Helper()
	mux := http.NewServeMux()
	admin.Register(mux)
	s, err := daemon.NewServer(t.Context(), slog.New(slog.DiscardHandler), []string{"127.0.0.1:0"}, webConfig, mux)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return strings.TrimSuffix(s.URL(), "/")
}

func admin(reg *prometheus.Registry) daemon.Admin {
	return daemon.Admin{
		Pending: func() []string { return nil },
		Reload:  func(context.Context) error { return nil },
		Config:  func() ([]byte, error) { return []byte("targets: []\n"), nil },
		Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}),
	}
}

func do(t *testing.T, method, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func TestAdminEndpoints(t *testing.T) {
	reg := prometheus.NewRegistry()
	waiting := []string{"exporter"}
	refused := errors.New("collie.yml:3: unknown key")
	a := admin(reg)
	a.Pending = func() []string { return waiting }
	a.Reload = daemon.NewReloader(slog.New(slog.DiscardHandler), reg, func(context.Context) error { return refused }).Reload
	url := serve(t, "", a)

	tests := []struct {
		method, path string
		header       http.Header
		code         int
		want         string
	}{
		{"GET", "/-/healthy", nil, 200, "Collie is healthy."},
		{"GET", "/-/ready", nil, 503, "Collie is not ready: waiting for exporter."},
		{"GET", "/config", nil, 200, "targets: []"},
		{"GET", "/-/reload", nil, 405, "Only POST or PUT requests allowed"},
		{"POST", "/-/reload", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "reload refused: the request came from another site"},
		{"POST", "/-/reload", nil, 500, "failed to reload config: collie.yml:3: unknown key"},
	}
	for _, tt := range tests {
		code, body := do(t, tt.method, url+tt.path, tt.header)
		if code != tt.code || body != tt.want {
			t.Errorf("%s %s = %d %q, want %d %q", tt.method, tt.path, code, body, tt.code, tt.want)
		}
	}
	if code, body := do(t, "GET", url+"/metrics", nil); code != 200 || !strings.Contains(body, "collie_config_last_reload_successful 0") {
		t.Errorf("the refused reload is not in the metrics: %d\n%s", code, body)
	}
	waiting, refused = nil, nil
	if code, _ := do(t, "GET", url+"/-/ready", nil); code != 200 {
		t.Errorf("/-/ready = %d once nothing is pending", code)
	}
	if code, _ := do(t, "POST", url+"/-/reload", nil); code != 200 {
		t.Errorf("/-/reload = %d", code)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// The hash is bcrypt of "test", from exporter-toolkit's own documentation.
const users = "basic_auth_users:\n  alice: $2y$12$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby\n"

func TestWebConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serve(t, file, admin(prometheus.NewRegistry()))
	if code, _ := do(t, "GET", url+"/-/healthy", nil); code != 401 {
		t.Errorf("without a password: %d, want 401", code)
	}
	s, err := daemon.NewServer(t.Context(), slog.New(slog.DiscardHandler), []string{"127.0.0.1:0"}, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !s.HasUsers() || !strings.HasPrefix(s.URL(), "http://") {
		t.Errorf("a server with users and without TLS: %v, %s", s.HasUsers(), s.URL())
	}
	if _, err := daemon.NewServer(t.Context(), slog.New(slog.DiscardHandler), []string{"127.0.0.1:0"}, file+".missing", nil); err == nil {
		t.Error("a missing web configuration is accepted")
	}
}

func TestAddressInUse(t *testing.T) {
	l := serve(t, "", admin(prometheus.NewRegistry()))
	address := strings.TrimPrefix(l, "http://")
	_, err := daemon.NewServer(t.Context(), slog.New(slog.DiscardHandler), []string{"127.0.0.1:0", address}, "", nil)
	if err == nil || !strings.Contains(err.Error(), "choose another with --web.listen-address") {
		t.Errorf("NewServer on an address in use = %v", err)
	}
}
