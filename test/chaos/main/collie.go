package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// readyLimit is when starting counts as hanging.
const readyLimit = time.Minute

// collie is the process under test.
type collie struct {
	binary, dir, storage string
	address, api         string
	*launch.Process
}

// newCollie prepares a process that listens on a free port, the same at each
// start.
func newCollie(binary, dir, storage, configuration string) (*collie, error) {
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	c := &collie{binary: binary, dir: dir, storage: storage, address: address, api: "http://" + address}
	return c, os.WriteFile(filepath.Join(dir, "collie.yml"), []byte(configuration), 0o600)
}

// start starts it and waits until it is ready.
func (c *collie) start(ctx context.Context) (err error) {
	c.Process, err = launch.Start(launch.Options{}, c.binary, "up", "--config.file="+filepath.Join(c.dir, "collie.yml"),
		"--storage.path="+c.storage, "--web.listen-address="+c.address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return launch.AwaitHTTP(ctx, c.api+"/-/ready", "ready.", c.Process)
}

// kill ends it, if it was started, as a power cut would.
func (c *collie) kill() error {
	if c.Process == nil {
		return nil
	}
	return c.Kill()
}

// log is the end of what it wrote.
func (c *collie) log() string {
	if c.Process == nil {
		return ""
	}
	tail := c.Tail()
	return tail[max(0, len(tail)-4096):]
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
