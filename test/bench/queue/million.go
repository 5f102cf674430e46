package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
)

// settle is how long memory may grow after the start: the file is checked in the
// background, since the last stop was not clean.
const settle = 5 * time.Second

// million measures a restart of the real program while many messages wait: how
// long until it answers, and how much memory it takes.
func million(ctx context.Context, c config, dir string) error {
	dir, err := os.MkdirTemp(dir, "million")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "collie")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/collie").CombinedOutput(); err != nil {
		return fmt.Errorf("build collie: %w\n%s", err, out)
	}
	data := filepath.Join(dir, "data")
	if err := fill(ctx, data, c.waiting); err != nil {
		return err
	}
	slog.Info("messages wait", "messages", c.waiting)
	var took, rss []float64
	for range c.rounds {
		t, r, err := restart(ctx, program, dir, data)
		if err != nil {
			return err
		}
		took, rss = append(took, t.Seconds()), append(rss, float64(r))
	}
	fmt.Printf("figure queue.million_restart_seconds %.3f seconds\n", middle(took))
	fmt.Printf("figure queue.million_rss_bytes %.0f bytes\n", middle(rss))
	return nil
}

// fill lets messages wait in a subscription that nobody reads.
func fill(ctx context.Context, data string, n int) error {
	s, err := store.Open(ctx, store.Options{Dir: data, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	q := sqlite.New(s, sqlite.Options{})
	err = q.Declare(ctx, queue.Subscription{Topic: "bench", Name: "bench", Limit: 2 * n})
	const step = 2000
	for i := 0; i < n && err == nil; i += step {
		msgs := make([]queue.Message, min(step, n-i))
		for k := range msgs {
			msgs[k] = queue.Message{Topic: "bench", Key: fmt.Sprintf("%08x-%d", (i+k)*2654435761%(1<<32), i+k), Body: make([]byte, 512)}
		}
		err = q.Publish(ctx, msgs...)
	}
	return errors.Join(err, q.Close(), s.Close())
}

// restart starts the program until it is ready, and kills it.
func restart(ctx context.Context, program, dir, data string) (took time.Duration, rss int64, err error) {
	conf := filepath.Join(dir, "collie.yml")
	if err := os.WriteFile(conf, []byte("targets: []\n"), 0o600); err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, program, "up", "--config.file", conf, "--storage.path", data, "--web.listen-address", "127.0.0.1:0", "--log.level", "error")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait() // it was killed, and says so
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, 0, fmt.Errorf("collie says no address: %w", err)
	}
	if err := answers(ctx, strings.TrimSpace(line)+"/-/ready"); err != nil {
		return 0, 0, err
	}
	took = time.Since(begin)
	time.Sleep(settle)
	rss, err = mostResident(cmd.Process.Pid)
	return took, rss, err
}

func answers(ctx context.Context, url string) error {
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(2 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // the status is what counts
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("%s does not answer 200", url)
}

// mostResident is the most memory that the process ever had.
func mostResident(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("the kernel does not tell how much memory a process had")
}
