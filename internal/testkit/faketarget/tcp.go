package faketarget

import (
	"errors"
	"net"
	"sync"
)

// TCP is a server that says one thing to whoever connects, and echoes what it
// is told.
type TCP struct {
	port     int
	greeting string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	mute     bool
	all      sync.WaitGroup
}

// StartTCP starts a server on 127.0.0.1. Port 0 takes a free one. Stop must be
// called.
func StartTCP(port int, greeting string) (*TCP, error) {
	t := &TCP{port: port, greeting: greeting}
	return t, t.Start()
}

// Start starts it again on its port.
func (t *TCP) Start() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listener != nil {
		return errors.New("the server runs already")
	}
	l, port, err := listen(t.port)
	if err != nil {
		return err
	}
	t.listener, t.port, t.conns = l, port, map[net.Conn]bool{}
	t.all.Go(func() { t.accept(l) })
	return nil
}

// Mute makes it say nothing any more, as a hung server: connections are still
// accepted.
func (t *TCP) Mute(mute bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mute = mute
}

// Stop closes the port and all connections. A stopped one stays as it is.
func (t *TCP) Stop() error {
	t.mu.Lock()
	l := t.listener
	t.listener = nil
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	if l == nil {
		return nil
	}
	err := l.Close()
	t.all.Wait()
	return err
}

// Port is the port it listens on, or will again.
func (t *TCP) Port() int { return t.port }

// Addr is host:port.
func (t *TCP) Addr() string { return address(t.port) }

func (t *TCP) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // stopped
		}
		t.mu.Lock()
		if t.listener != l {
			_ = c.Close()
		} else {
			t.conns[c] = true
			t.all.Go(func() { t.serve(c) })
		}
		t.mu.Unlock()
	}
}

func (t *TCP) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		t.mu.Lock()
		delete(t.conns, c)
		t.mu.Unlock()
	}()
	t.say(c, t.greeting)
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		t.say(c, string(buf[:n]))
	}
}

func (t *TCP) say(c net.Conn, text string) {
	t.mu.Lock()
	mute := t.mute
	t.mu.Unlock()
	if !mute {
		_, _ = c.Write([]byte(text)) // who connected may have left
	}
}
