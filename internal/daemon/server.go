package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/net/netutil"
)

// Limits of the HTTP server. They bound what a slow or hostile client can hold.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 2 * time.Minute // a debug probe may take as long as its module allows
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	maxConnections    = 1024
	maxBody           = 1 << 20
	drainTimeout      = 5 * time.Second
)

// Server is the HTTP server as a task. It listens when it is made, so that a
// port in use is told before anything else starts.
type Server struct {
	server    *http.Server
	listeners []net.Listener
	webConfig string
	tls       bool
	users     bool
	log       *slog.Logger
	ready     chan struct{}
}

// NewServer listens on the addresses ("127.0.0.1:9797"; port 0 means any free
// one). webConfig is an exporter-toolkit file for TLS, client certificates,
// basic authentication and rate limits, or empty.
func NewServer(ctx context.Context, log *slog.Logger, addresses []string, webConfig string, h http.Handler) (*Server, error) {
	if webConfig != "" {
		if err := web.Validate(webConfig); err != nil {
			return nil, fmt.Errorf("web configuration %s: %w", webConfig, err)
		}
	}
	s := &Server{webConfig: webConfig, log: log, ready: make(chan struct{}), server: &http.Server{
		Handler: http.MaxBytesHandler(h, maxBody), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	var err error
	if s.tls, s.users, err = lookAt(webConfig); err != nil {
		return nil, err
	}
	for _, address := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("%w (is another Collie running? choose another with --web.listen-address)", err)
		}
		s.listeners = append(s.listeners, netutil.LimitListener(l, maxConnections))
	}
	return s, nil
}

// lookAt reports whether the web configuration asks for TLS, and whether it
// names users who have to say their password.
func lookAt(webConfig string) (tls, users bool, err error) {
	if webConfig == "" {
		return false, false, nil
	}
	raw, err := os.ReadFile(webConfig)
	if err != nil {
		return false, false, fmt.Errorf("web configuration: %w", err)
	}
	var c struct {
		TLS   map[string]any `yaml:"tls_server_config"`
		Users map[string]any `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return false, false, fmt.Errorf("web configuration %s: %w", webConfig, err)
	}
	return len(c.TLS) > 0, len(c.Users) > 0, nil
}

// Address is the first address, with localhost in place of one that means all.
func (s *Server) Address() string {
	address := s.listeners[0].Addr().String()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// URL is where the page is found.
func (s *Server) URL() string {
	if s.tls {
		return "https://" + s.Address() + "/"
	}
	return "http://" + s.Address() + "/"
}

// HasUsers reports whether every request needs a user's password.
func (s *Server) HasUsers() bool { return s.users }

// Name implements Task.
func (s *Server) Name() string { return "http" }

// Ready implements Task. The listeners accept before that already.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run implements Task.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		served <- web.ServeMultiple(s.listeners, s.server, &web.FlagConfig{WebConfigFile: &s.webConfig}, s.log)
	}()
	close(s.ready)
	select {
	case err := <-served:
		s.close()
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := s.server.Shutdown(drain); err != nil {
		s.log.Warn("connections were cut at shutdown", "err", err)
		s.close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close gives the addresses back where Run was never called.
func (s *Server) Close() { s.close() }

func (s *Server) close() {
	if err := s.server.Close(); err != nil {
		s.log.Debug("close server", "err", err)
	}
	for _, l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Debug("close listener", "err", err)
		}
	}
}

// Admin are the endpoints that every Prometheus user expects.
type Admin struct {
	Pending func() []string             // names of tasks that are not ready
	Reload  func(context.Context) error // applies the configuration anew
	Config  func() ([]byte, error)      // the running configuration, redacted
	Metrics http.Handler                // our own metrics
}

// Register adds the endpoints to mux.
func (a Admin) Register(mux *http.ServeMux) {
	mux.Handle("GET /metrics", a.Metrics)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "Collie is healthy.") })
	mux.HandleFunc("GET /-/ready", a.readiness)
	mux.HandleFunc("POST /-/reload", a.reload)
	mux.HandleFunc("PUT /-/reload", a.reload)
	mux.HandleFunc("/-/reload", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", "POST, PUT")
		text(w, http.StatusMethodNotAllowed, "Only POST or PUT requests allowed")
	})
	mux.HandleFunc("GET /config", a.config)
}

func (a Admin) readiness(w http.ResponseWriter, _ *http.Request) {
	if pending := a.Pending(); len(pending) > 0 {
		text(w, http.StatusServiceUnavailable, "Collie is not ready: waiting for "+strings.Join(pending, ", ")+".")
		return
	}
	text(w, http.StatusOK, "Collie is ready.")
}

// reload refuses browsers: a page elsewhere could otherwise make its reader's
// browser post here.
func (a Admin) reload(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		text(w, http.StatusForbidden, "reload refused: the request came from another site")
		return
	}
	if err := a.Reload(r.Context()); err != nil {
		text(w, http.StatusInternalServerError, "failed to reload config: "+err.Error())
		return
	}
	text(w, http.StatusOK, "reloaded")
}

func (a Admin) config(w http.ResponseWriter, _ *http.Request) {
	raw, err := a.Config()
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error())
		return
	}
	text(w, http.StatusOK, strings.TrimSuffix(string(raw), "\n"))
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// The reader may be gone: nobody is left to tell.
	_, _ = fmt.Fprintln(w, s)
}
