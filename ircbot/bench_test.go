package ircbot

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/internal/testkit/ircd"
)

// BenchmarkWebhookToEcho tells one alert after the other, slower than the flood
// limit, through the queue on the disk, the spool and a connection, and prints
// how long the slowest took from the queue to the confirmation.
func BenchmarkWebhookToEcho(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := ircd.New(ircd.Options{Caps: ircd.Modern()})
	server.Listen(listener)
	defer server.Close()
	defer listener.Close()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir(), Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	q := sqlite.New(s, sqlite.Options{})
	defer q.Close()
	conf := oneNetwork(func(n *Network) {
		n.Servers = []string{listener.Addr().String()}
		n.Rate.Every = 10 * time.Millisecond
	})
	bot, err := New(b.Context(), Options{Config: conf, Store: s, Queue: q, Registry: prometheus.NewRegistry(), Log: log, Source: "ircbot/host1"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- bot.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	joined := func() bool { return server.In("#ops", "collie") }
	if err := server.Await(ctx, "the channel", joined); err != nil {
		b.Fatal(err)
	}
	const samples = 200
	seq := uint64(0)
	for b.Loop() {
		var took []time.Duration
		for range samples {
			seq++
			begin := time.Now()
			m := alertMessage(b, alert{name: "Down", target: fmt.Sprint("host", seq), severity: "warning", summary: "gone"}, seq)
			if err := q.Publish(ctx, m); err != nil {
				b.Fatal(err)
			}
			for bot.spool.Depth("test").Sent+bot.spool.Depth("test").Queued > 0 || len(server.Said("#ops")) < int(seq) {
				time.Sleep(200 * time.Microsecond)
			}
			took = append(took, time.Since(begin))
			time.Sleep(10 * time.Millisecond)
		}
		slices.Sort(took)
		fmt.Printf("figure irc.webhook_to_echo_p50_seconds %.4f s\n", took[samples/2].Seconds())
		fmt.Printf("figure irc.webhook_to_echo_p99_seconds %.4f s\n", took[samples*99/100].Seconds())
	}
}
