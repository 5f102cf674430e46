// Command main of test/bench prints the figures of the main job: how long
// "collie up" takes to be ready with an empty data directory and the default
// configuration, what it holds once idle, and how large its binary is.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

func main() {
	idle := flag.Duration("idle", 20*time.Second, "how long it idles before its memory is read")
	runs := flag.Int("runs", 5, "how often it is started; the median is printed")
	flag.Parse()
	if err := run(context.Background(), *runs, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "bench main:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int, idle time.Duration) error {
	dir, err := os.MkdirTemp("", "collie-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "collie")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/collie")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	var ready, rss []float64
	for i := range runs {
		wait := time.Duration(0)
		if i == runs-1 {
			wait = idle
		}
		seconds, bytes, err := trial(ctx, binary, filepath.Join(dir, fmt.Sprint(i)), wait)
		if err != nil {
			return err
		}
		ready = append(ready, seconds)
		rss = append(rss, bytes)
	}
	slices.Sort(ready)
	fmt.Printf("figure main.ready_seconds %.3f seconds\n", ready[len(ready)/2])
	fmt.Printf("figure main.idle_rss_bytes %.0f bytes\n", rss[len(rss)-1])
	fmt.Printf("figure main.binary_bytes %d bytes\n", info.Size())
	return nil
}

// trial starts Collie in an empty directory and returns the seconds until it
// was ready and the bytes that it and its helpers hold after idling.
func trial(ctx context.Context, binary, dir string, idle time.Duration) (ready, rss float64, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return 0, 0, err
	}
	var log bytes.Buffer
	c := exec.CommandContext(ctx, binary, "up", "--web.listen-address="+address)
	c.Dir, c.Stderr = dir, &log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := c.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		if waited := c.Wait(); waited != nil && err == nil {
			err = fmt.Errorf("collie up: %w\n%s", waited, log.String())
		}
	}()
	for !isReady(ctx, address) {
		if time.Since(start) > time.Minute {
			return 0, 0, fmt.Errorf("not ready within a minute\n%s", log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
	ready = time.Since(start).Seconds()
	time.Sleep(idle)
	return ready, launch.ResidentBytes(c.Process.Pid), nil
}

func isReady(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/-/ready", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close() == nil && err == nil && resp.StatusCode == http.StatusOK
}
