// Package faketarget is what probes look at in tests and stories: real servers
// on loopback ports that can be stopped, started again on the same port, and
// told to misbehave.
package faketarget

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// HTTP is a web server. It can be stopped and started; stopped, its port
// refuses connections.
type HTTP struct {
	port int
	tls  *tls.Config

	mu      sync.Mutex
	status  int
	body    string
	delay   time.Duration
	asked   int
	running *http.Server
	done    chan struct{}
}

// StartHTTP starts a web server on 127.0.0.1 that answers everything with the
// status and the body. Port 0 takes a free one. Stop must be called.
func StartHTTP(port, status int, body string) (*HTTP, error) {
	h := &HTTP{port: port, status: status, body: body}
	return h, h.Start()
}

// StartHTTPS is StartHTTP with a certificate, which Certificate makes.
func StartHTTPS(port, status int, body string, cert tls.Certificate) (*HTTP, error) {
	h := &HTTP{port: port, status: status, body: body, tls: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return h, h.Start()
}

// Start starts it again on its port.
func (h *HTTP) Start() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running != nil {
		return errors.New("the web server runs already")
	}
	l, port, err := listen(h.port)
	if err != nil {
		return err
	}
	if h.tls != nil {
		l = tls.NewListener(l, h.tls)
	}
	h.port, h.done = port, make(chan struct{})
	h.running = &http.Server{Handler: http.HandlerFunc(h.answer), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func(s *http.Server, done chan struct{}) {
		defer close(done)
		_ = s.Serve(l) // until Stop
	}(h.running, h.done)
	return nil
}

// Stop closes the port and all connections. A stopped one stays as it is.
func (h *HTTP) Stop() error {
	h.mu.Lock()
	s, done := h.running, h.done
	h.running = nil
	h.mu.Unlock()
	if s == nil {
		return nil
	}
	err := s.Close()
	<-done
	return err
}

// Answer changes what it answers, from the next request on.
func (h *HTTP) Answer(status int, body string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.body = status, body
}

// Delay makes each answer wait, or end when the asker leaves.
func (h *HTTP) Delay(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delay = d
}

// Asked is how many requests it was sent.
func (h *HTTP) Asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// Port is the port it listens on, or will again.
func (h *HTTP) Port() int { return h.port }

// URL is the address of its root.
func (h *HTTP) URL() string {
	scheme := "http"
	if h.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + address(h.port) + "/"
}

func (h *HTTP) answer(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked++
	status, body, delay := h.status, h.body, h.delay
	h.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the asker may have left
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// listen takes a port on loopback and says which.
func listen(port int) (net.Listener, int, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", address(port))
	if err != nil {
		return nil, 0, fmt.Errorf("start a fake target: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, 0, errors.Join(fmt.Errorf("start a fake target: unexpected address %v", l.Addr()), l.Close())
	}
	return l, addr.Port, nil
}
