package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the server that are not worth configuring.
const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	drainTimeout      = 10 * time.Second
)

// Listener is the HTTP server of deliveries, as a task.
type Listener struct {
	w     *Webhook
	ready chan struct{}

	mu      sync.Mutex
	config  Config
	serving *server
	changed chan *server // what is to be served from now on
}

// server is one address that is listened to.
type server struct {
	*http.Server
	socket net.Listener
	done   chan struct{}
}

func newListener(ctx context.Context, w *Webhook, c Config) (*Listener, error) {
	l := &Listener{w: w, ready: make(chan struct{}), config: c, changed: make(chan *server, 1)}
	s, err := l.listen(ctx, c)
	if err != nil {
		return nil, err
	}
	l.serving = s
	return l, nil
}

// Name of the task.
func (l *Listener) Name() string { return "webhook listener" }

// Ready is closed once deliveries are taken.
func (l *Listener) Ready() <-chan struct{} { return l.ready }

// Address is where it listens, empty for nowhere.
func (l *Listener) Address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving == nil {
		return ""
	}
	return l.serving.socket.Addr().String()
}

// listen takes an address; without one there is no server.
func (l *Listener) listen(ctx context.Context, c Config) (*server, error) {
	if c.address() == "" {
		return nil, nil
	}
	var config *tls.Config
	if c.WebConfigFile != "" {
		r, err := newRenewing(c.WebConfigFile, l.w.log)
		if err != nil {
			return nil, fmt.Errorf("webhooks.web_config_file: %w", err)
		}
		config = r.server()
	}
	socket, err := new(net.ListenConfig).Listen(ctx, "tcp", c.address())
	if err != nil {
		return nil, fmt.Errorf("webhooks.listen_address: %w", err)
	}
	socket = netutil.LimitListener(socket, c.Limits.Connections)
	if config != nil {
		socket = tls.NewListener(socket, config)
	}
	one := new(http.Protocols)
	one.SetHTTP1(true)
	return &server{socket: socket, done: make(chan struct{}), Server: &http.Server{
		Handler: l.w, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readHeaderTimeout + c.Limits.ReadTimeout, WriteTimeout: c.Limits.ReadTimeout + writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(l.w.log.Handler(), slog.LevelDebug),
		// One kind of connection, whose limits are known: no sender needs another.
		Protocols: one,
	}}, nil
}

// change is a listener that is ready to take over.
type change struct {
	config  Config
	differs bool
	next    *server
}

// drop gives back what prepare took.
func (c change) drop() {
	if c.next != nil {
		_ = c.next.socket.Close() // nobody was told of it
	}
}

// prepare listens where the configuration says, if that is elsewhere.
func (l *Listener) prepare(ctx context.Context, c Config) (change, error) {
	l.mu.Lock()
	old := l.config
	l.mu.Unlock()
	if old.address() == c.address() {
		if c.address() != "" && old.WebConfigFile != c.WebConfigFile { // the same socket cannot be taken twice
			return change{}, errors.New("webhooks.web_config_file cannot be changed while it listens on the same address; restart Collie")
		}
		return change{config: c}, nil
	}
	next, err := l.listen(ctx, c)
	return change{config: c, differs: true, next: next}, err
}

func (l *Listener) apply(c change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config = c.config
	if !c.differs {
		return
	}
	select {
	case skipped := <-l.changed: // never served
		if skipped != nil {
			_ = skipped.socket.Close()
		}
	default:
	}
	l.changed <- c.next
}

// Run serves until ctx ends.
func (l *Listener) Run(ctx context.Context) error {
	l.mu.Lock()
	now := l.serving
	l.mu.Unlock()
	failed := make(chan error, 1)
	l.serve(now, failed)
	close(l.ready)
	for {
		select {
		case <-ctx.Done():
			l.stop(ctx, now)
			return nil
		case err := <-failed:
			l.stop(ctx, now)
			return err
		case next := <-l.changed:
			l.serve(next, failed)
			l.mu.Lock()
			l.serving = next
			l.mu.Unlock()
			l.stop(ctx, now)
			now = next
		}
	}
}

func (l *Listener) serve(s *server, failed chan<- error) {
	if s == nil {
		return
	}
	l.w.log.Info("taking deliveries", "address", s.socket.Addr().String())
	go func() {
		defer close(s.done)
		if err := s.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
			select {
			case failed <- fmt.Errorf("take deliveries: %w", err):
			default: // the first one stops us already
			}
		}
	}()
}

// stop lets requests end that are being answered.
func (l *Listener) stop(ctx context.Context, s *server) {
	if s == nil {
		return
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := s.Shutdown(drain); err != nil {
		l.w.log.Warn("deliveries were cut off at shutdown", "err", err)
		_ = s.Close()
	}
	<-s.done
}

// close gives the address back where Run was never called.
func (l *Listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving != nil {
		_ = l.serving.socket.Close()
	}
}

// Close gives the address back where Run was never called.
func (w *Webhook) Close() { w.listener.close() }
