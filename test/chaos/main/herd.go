package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// herd is a set of web servers that fail and recover at random. The first one,
// the witness, changes only when it is told, and so its true history is known.
type herd struct {
	servers []*http.Server
	addrs   []string
	broken  []atomic.Bool
	cancel  context.CancelFunc
	wait    sync.WaitGroup
}

func newHerd(n int, random *rand.Rand) (*herd, error) {
	ctx, cancel := context.WithCancel(context.Background())
	h := &herd{broken: make([]atomic.Bool, n), cancel: cancel}
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			cancel()
			return nil, err
		}
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if h.broken[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})}
		h.servers, h.addrs = append(h.servers, s), append(h.addrs, l.Addr().String())
		h.wait.Go(func() { _ = s.Serve(l) }) // ends with Close
		if i > 0 {
			seed := random.Uint64()
			h.wait.Go(func() { h.flap(ctx, i, rand.New(rand.NewPCG(seed, 3))) })
		}
	}
	return h, nil
}

// flap breaks and mends server i until ctx ends.
func (h *herd) flap(ctx context.Context, i int, random *rand.Rand) {
	for pauseFor(ctx, 500*time.Millisecond+time.Duration(random.Int64N(int64(4*time.Second)))) == nil {
		h.broken[i].Store(!h.broken[i].Load())
	}
}

func (h *herd) name(i int) string { return fmt.Sprintf("web%02d", i) }

func (h *herd) configuration() string {
	var b strings.Builder
	b.WriteString("probe: {lease: 1s}\ntargets:\n")
	for i, addr := range h.addrs {
		fmt.Fprintf(&b, "  - {name: %s, probe: http_2xx, target: \"http://%s/\", every: 1s, down_after: 2}\n", h.name(i), addr)
	}
	return b.String()
}

func (h *herd) close() error {
	h.cancel()
	for _, s := range h.servers {
		if err := s.Close(); err != nil {
			return err
		}
	}
	h.wait.Wait()
	return nil
}
