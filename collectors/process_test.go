package collectors_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/collectors"
	"github.com/colliehq/collie/internal/store"
	fake "github.com/colliehq/collie/internal/testkit/loki"
)

// shipperEnv makes the test binary a shipper: DATA|LOGS|URL.
const shipperEnv = "COLLIE_TEST_SHIPPER"

func TestMain(m *testing.M) {
	if args := strings.Split(os.Getenv(shipperEnv), "|"); len(args) == 3 {
		if err := shipper(args[0], args[1], args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func shipper(data, logs, url string) error {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := store.Open(ctx, store.Options{Dir: data, Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		return err
	}
	cfg := collectors.Default()
	cfg.Poll = 10 * time.Millisecond
	cfg.Loki.URL, cfg.Loki.Tenant = url, "ci"
	cfg.Sources = []collectors.Source{{Files: filepath.Join(logs, "*.log*")}}
	c, err := collectors.New(ctx, collectors.Options{Config: cfg, Store: s, Dir: data, Host: "here", Registry: prometheus.NewRegistry(), Log: log})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// await waits until it holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func TestKilledProcessesLoseNothingAndLokiKeepsOneCopy(t *testing.T) {
	t.Parallel()
	loki, data, logs := fake.New(), t.TempDir(), t.TempDir()
	defer loki.Close()
	loki.Reply = func(n int) *fake.Reply { // every third is stored and not confirmed
		if n%3 == 0 {
			return &fake.Reply{Store: true, Reset: true}
		}
		return nil
	}
	path := filepath.Join(logs, "app.log")
	want := 0
	for round := range 6 {
		var text strings.Builder
		for range 500 {
			want++
			fmt.Fprintf(&text, "line %06d\n", want)
		}
		if round%2 == 1 { // rotated while nobody looks
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, round)); err != nil {
				t.Fatal(err)
			}
		}
		add(t, path, text.String())
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), shipperEnv+"="+data+"|"+logs+"|"+loki.URL())
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		before := loki.Pushes()
		await(t, "a push", func() bool { return loki.Pushes() > before })
		if round == 5 {
			await(t, "all lines", func() bool { return len(loki.Entries()) >= want })
		}
		_ = child.Process.Kill()
		_ = child.Wait() // it was killed
	}
	copies := map[string]int{}
	for _, e := range loki.Entries() {
		copies[e.Line]++
	}
	for i := range want {
		if n := copies[fmt.Sprintf("line %06d", i+1)]; n != 1 {
			t.Errorf("line %d is there %d times", i+1, n)
		}
	}
	if len(copies) != want {
		t.Errorf("%d lines are there, %d were written", len(copies), want)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
