package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// collie is the process under test.
type collie struct {
	binary, dir, storage string
	address, api         string
	cmd                  *exec.Cmd
	log                  bytes.Buffer // of the last start
}

// newCollie prepares a process that listens on a free port, the same at each
// start.
func newCollie(binary, dir, storage, configuration string) (*collie, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	c := &collie{binary: binary, dir: dir, storage: storage, address: address, api: "http://" + address}
	return c, os.WriteFile(filepath.Join(dir, "collie.yml"), []byte(configuration), 0o600)
}

// start starts it and waits until it is ready.
func (c *collie) start(ctx context.Context) error {
	c.log.Reset()
	c.cmd = exec.Command(c.binary, "up", "--config.file="+filepath.Join(c.dir, "collie.yml"), //nolint:noctx // killed by its own pid
		"--storage.path="+c.storage, "--web.listen-address="+c.address)
	c.cmd.Stdout, c.cmd.Stderr = io.Discard, &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if body, err := get(ctx, c.api+"/-/ready"); err == nil && strings.Contains(string(body), "ready.") {
			return nil
		}
		if err := pauseFor(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("not ready within a minute")
}

func (c *collie) kill() {
	if c.cmd == nil {
		return
	}
	// It may have ended by itself; then there is nobody to kill.
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.cmd = nil
}

func (c *collie) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// tail is the end of the log. The process is killed first: its log is still
// being written otherwise.
func (c *collie) tail() string {
	c.kill()
	var lines []string
	for s := bufio.NewScanner(&c.log); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// client fails soon: a killed server never answers.
var client = http.Client{Timeout: 5 * time.Second}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return body, nil
}
