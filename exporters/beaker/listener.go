package beaker

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxConnections = 16               // of one listener over TCP
	idleConnection = 10 * time.Minute // without a line
	receiveBuffer  = 4 << 20          // a pass of beakerd is hundreds of datagrams at once
	maxDatagram    = 64 << 10
)

// listener is a carbon target: it takes lines over UDP and TCP at one address
// and gives each to the lab whose prefix its name has.
type listener struct {
	address string
	metrics *metrics

	mu        sync.Mutex      // guards what follows
	labs      map[string]*lab // by prefix
	prefixes  []string        // of labs, the longest first
	malformed float64
	unclaimed float64 // of no lab
	opened    chan struct{}
	err       error // why it could not be opened
	asked     time.Time
	gap       time.Duration // the longest time between two probes
	wanted    time.Time     // by the first probe

	// Of Run alone.
	udp   *net.UDPConn
	tcp   net.Listener
	done  sync.WaitGroup
	conns map[net.Conn]bool // guarded by mu
	shut  bool              // guarded by mu
}

func newListener(address string, m *metrics, now time.Time) *listener {
	return &listener{
		address: address, metrics: m, labs: map[string]*lab{}, opened: make(chan struct{}),
		conns: map[net.Conn]bool{}, wanted: now, asked: now,
	}
}

// claim finds the lab of a module, which is made with the first probe.
func (l *listener) claim(o *carbonOptions, now time.Time) *lab {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap = max(l.gap, now.Sub(l.asked))
	l.asked = now
	found := l.labs[o.Prefix]
	if found == nil {
		found = newLab(now)
		l.labs[o.Prefix] = found
		l.prefixes = append(l.prefixes, o.Prefix)
		slices.SortFunc(l.prefixes, func(a, b string) int { return len(b) - len(a) })
	}
	found.mu.Lock()
	found.senders, found.maxSeries = o.Senders.list, int(o.MaxSeries)
	found.mu.Unlock()
	return found
}

// open listens. On failure it can be tried again.
func (l *listener) open(ctx context.Context) error {
	var config net.ListenConfig
	tcp, err := config.Listen(ctx, "tcp", l.address)
	if err != nil {
		return err
	}
	packets, err := config.ListenPacket(ctx, "udp", l.address)
	if err != nil {
		return errors.Join(err, tcp.Close())
	}
	udp, ok := packets.(*net.UDPConn)
	if !ok {
		return errors.Join(errors.New("no UDP socket"), packets.Close(), tcp.Close())
	}
	_ = udp.SetReadBuffer(receiveBuffer) // the kernel gives as much as it allows
	l.udp, l.tcp = udp, tcp
	l.done.Go(l.receive)
	l.done.Go(l.accept)
	return nil
}

// close stops listening and waits until nothing of it runs any more.
func (l *listener) close() {
	if l.udp == nil {
		return
	}
	_ = l.udp.Close()
	_ = l.tcp.Close()
	l.mu.Lock()
	l.shut = true
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.done.Wait()
	l.udp, l.tcp = nil, nil
}

// receive takes datagrams. beakerd sends one line in each, without an end.
func (l *listener) receive() {
	buffer := make([]byte, maxDatagram)
	for {
		n, from, err := l.udp.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of one datagram
			continue
		}
		for text := range strings.SplitSeq(strings.TrimRight(string(buffer[:n]), "\r\n"), "\n") {
			l.take(from.Addr().Unmap(), []byte(text))
		}
	}
}

// accept takes connections, each of which it serves beside the others.
func (l *listener) accept() {
	for {
		conn, err := l.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of one connection, or no descriptor is left
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if !l.enter(conn) {
			l.metrics.turnedAway.Inc()
			_ = conn.Close()
			continue
		}
		l.done.Go(func() { l.serve(conn) })
	}
}

// enter counts a connection in, unless there are too many.
func (l *listener) enter(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut || len(l.conns) >= maxConnections {
		return false
	}
	l.conns[conn] = true
	l.metrics.connections.Inc()
	return true
}

func (l *listener) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	l.metrics.connections.Dec()
	_ = conn.Close() // read to its end
}

// serve takes the lines of one connection, in the memory of one line.
func (l *listener) serve(conn net.Conn) {
	defer l.leave(conn)
	from := addrOf(conn.RemoteAddr())
	r := bufio.NewReaderSize(conn, maxLine+2)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(idleConnection)) // a closed one fails to be read, too
		text, err := r.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		switch {
		case tooLong:
			l.miss()
		case err == nil || len(text) > 0:
			l.take(from, text)
		}
		if err != nil {
			return
		}
	}
}

func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// take gives a line to its lab. Empty lines mean nothing.
func (l *listener) take(from netip.Addr, text []byte) {
	if len(strings.TrimSpace(string(text))) == 0 {
		return
	}
	defer func() {
		if recover() != nil { // a mistake in Collie; it costs this line only
			l.miss()
		}
	}()
	x, err := parseLine(text)
	if err != nil {
		l.miss()
		return
	}
	if found, rest := l.labOf(x.name); found != nil {
		found.take(from, rest, x, time.Now())
	}
}

func (l *listener) miss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.malformed++
}

// labOf finds the lab with the longest prefix of the name, and the rest of it.
func (l *listener) labOf(name string) (found *lab, rest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.prefixes {
		if rest, ok := strings.CutPrefix(name, p); ok {
			return l.labs[p], rest
		}
	}
	l.unclaimed++
	return nil, ""
}

// strays are the lines of the listener that no lab has counted.
func (l *listener) strays() (malformed, unclaimed float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.malformed, l.unclaimed
}
