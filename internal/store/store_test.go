package store

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	s := openStore(t, dir)
	t.Log("open", time.Since(begin))
	ctx := context.Background()
	if err := s.Tx(ctx, func(tx *Tx) error { return s.Queue().Declare(tx, queue.Subscription{Topic: "a", Name: "a"}) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.Enqueue(queue.Message{Topic: "a", Key: "k", Body: []byte("b")}) }); err != nil {
		t.Fatal(err)
	}
	var mode string
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.QueryRow("PRAGMA journal_mode").Scan(&mode) }); err != nil || mode != "wal" {
		t.Fatal(mode, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	s = openStore(t, dir)
	t.Log("open again", time.Since(begin))
	t.Log(s.Queue().Subs()[0].Counts())
}
