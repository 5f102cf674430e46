package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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
// long until it acknowledges a webhook, and how much memory it takes.
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
	var ready, first, rss []float64
	for range c.rounds {
		s, err := restart(ctx, program, dir, data)
		if err != nil {
			return err
		}
		ready, first, rss = append(ready, s.ready.Seconds()), append(first, s.first.Seconds()), append(rss, float64(s.rss))
	}
	fmt.Printf("figure queue.million_restart_seconds %.3f seconds\n", middle(ready))
	fmt.Printf("figure queue.million_first_202_seconds %.3f seconds\n", middle(first))
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

// start is what one start of the program took, and how much memory.
type start struct {
	first time.Duration // until a delivery was acknowledged
	ready time.Duration
	rss   int64
}

// restart starts the program until it takes deliveries and is ready, and kills
// it.
func restart(ctx context.Context, program, dir, data string) (s start, err error) {
	hooks, err := freeAddress(ctx)
	if err != nil {
		return s, err
	}
	conf := filepath.Join(dir, "collie.yml")
	text := "targets: []\nwebhooks: {listen_address: '" + hooks + "', hooks: [{name: bench, sender: generic, insecure: true}]}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return s, err
	}
	cmd := exec.CommandContext(ctx, program, "up", "--config.file", conf, "--storage.path", data, "--web.listen-address", "127.0.0.1:0", "--log.level", "error")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait() // it was killed, and says so
	}()
	if err := answers(ctx, http.MethodPost, "http://"+hooks+"/hook/bench", http.StatusAccepted); err != nil {
		return s, err
	}
	s.first = time.Since(begin)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return s, fmt.Errorf("collie says no address: %w", err)
	}
	if err := answers(ctx, http.MethodGet, strings.TrimSpace(line)+"/-/ready", http.StatusOK); err != nil {
		return s, err
	}
	s.ready = time.Since(begin)
	time.Sleep(settle)
	s.rss, err = mostResident(cmd.Process.Pid)
	return s, err
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers asks until the answer is the wanted one.
func answers(ctx context.Context, method, url string, want int) error {
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(2 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // the status is what counts
		if resp.StatusCode == want {
			return nil
		}
	}
	return fmt.Errorf("%s does not answer %d", url, want)
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
