// Package faultproxy stands between a client and a TCP server and breaks what
// passes, as networks do: slow, cut, reset, silent, or ended in the middle of an
// answer.
package faultproxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy is a listener on loopback that forwards to one address.
type Proxy struct {
	target string
	l      net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	refuse  bool
	latency time.Duration
	hang    chan struct{} // not nil: nothing passes until it is closed
	answer  int           // bytes that still pass to the client; -1: all
	pairs   map[*pair]bool
	cuts    int
}

// pair is one connection of a client with its own to the server.
type pair struct{ client, server *net.TCPConn }

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// reset makes both ends see "connection reset by peer": unsent data is dropped.
func (p *pair) reset() {
	_ = p.client.SetLinger(0)
	_ = p.server.SetLinger(0)
	p.close()
}

// Start forwards to target until Close.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{target: target, l: l, answer: -1, pairs: map[*pair]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Address is where clients connect to.
func (p *Proxy) Address() string { return p.l.Addr().String() }

// Close ends it and every connection.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.l.Close()
	p.Restore()
	p.Cut()
	p.wg.Wait()
	return err
}

// Restore lets everything pass again. Connections that were cut stay cut.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse, p.latency, p.answer = false, 0, -1
	if p.hang != nil {
		close(p.hang)
		p.hang = nil
	}
}

// Refuse ends every new connection at once.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
}

// Latency holds everything back for d, in both directions.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Hang lets nothing pass, and keeps connections open.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hang == nil {
		p.hang = make(chan struct{})
	}
}

// Truncate lets n more bytes pass to clients and then ends the connection that
// got the last of them, in the middle of an answer if n says so. Later ones
// pass.
func (p *Proxy) Truncate(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = n
}

// Cut ends every connection in an orderly way.
func (p *Proxy) Cut() { p.each((*pair).close) }

// Reset ends every connection with a reset.
func (p *Proxy) Reset() { p.each((*pair).reset) }

func (p *Proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		f(pair)
		p.cuts++
	}
}

// Cuts is how many connections were ended on purpose.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

func (p *Proxy) accept() {
	for {
		conn, err := p.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		client, ok := conn.(*net.TCPConn)
		if !ok || p.refuses() {
			_ = conn.Close()
			continue
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuse || p.closed
}

func (p *Proxy) serve(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp", p.target, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		_ = client.Close()
		return
	}
	server, ok := conn.(*net.TCPConn)
	if !ok {
		_ = client.Close()
		_ = conn.Close()
		return
	}
	both := &pair{client, server}
	if !p.join(both) {
		both.close()
		return
	}
	defer p.leave(both)
	var wg sync.WaitGroup
	wg.Go(func() { p.pass(both, client, server, false) })
	wg.Go(func() { p.pass(both, server, client, true) })
	wg.Wait()
}

func (p *Proxy) join(x *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.pairs[x] = true
	return true
}

func (p *Proxy) leave(x *pair) {
	x.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, x)
}

// pass copies one direction until either side ends, and then ends both.
func (p *Proxy) pass(both *pair, from, to *net.TCPConn, answers bool) {
	defer both.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			pass, end := p.treat(n, answers)
			if _, err := to.Write(buf[:pass]); err != nil || end {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// treat waits as long as the faults say, and says how many of n bytes pass and
// whether that is the end.
func (p *Proxy) treat(n int, answers bool) (pass int, end bool) {
	p.mu.Lock()
	latency, hang := p.latency, p.hang
	p.mu.Unlock()
	if latency > 0 {
		time.Sleep(latency)
	}
	if hang != nil {
		<-hang
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !answers || p.answer < 0 {
		return n, false
	}
	if n < p.answer {
		p.answer -= n
		return n, false
	}
	pass, p.answer = p.answer, -1
	p.cuts++
	return pass, true
}
