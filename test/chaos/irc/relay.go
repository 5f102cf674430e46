package main

import (
	"errors"
	"io"
	"net"
	"sync"
)

// relay passes connections on to a server, and breaks them when it is told to.
type relay struct {
	to       string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool // to new ones
}

func newRelay(to string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{to: to, listener: l, conns: map[net.Conn]bool{}}
	r.wg.Go(r.serve)
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.to)
		if err != nil || !r.keep(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		r.wg.Go(func() { r.pass(client, server) })
		r.wg.Go(func() { r.pass(server, client) })
	}
}

// keep takes both ends of a connection up, unless nobody is let in.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	for _, c := range conns {
		r.conns[c] = true
	}
	return true
}

func (r *relay) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from) // it ends with either of them
	_, _ = from.Close(), to.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, from)
}

// refuse says whether new connections are refused.
func (r *relay) refuse(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = yes
}

// reset ends all connections with a reset, both ways.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (r *relay) close() error {
	err := r.listener.Close()
	r.reset()
	r.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
