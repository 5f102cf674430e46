package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// readyLimit is when starting counts as hanging.
const readyLimit = time.Minute

const (
	receiver = "ops"
	channel  = "#ops"
	nick     = "collie"
)

const alertmanager = `route: {receiver: nobody}
receivers: [{name: nobody}, {name: %s}]
`

const configuration = `alerting: {config_file: %s, scrape_interval: 1s, evaluation_interval: 1s}
irc:
  - name: test
    servers: ["%s"]
    nick: %s
    rate: {burst: 4, every: 200ms}
    reconnect: {min: 300ms, max: 2s}
    channels: {"%s": {receivers: [%s]}}
`

// collie is the process under test.
type collie struct {
	binary, dir, storage string
	address, api         string
	*launch.Process
}

// newCollie prepares a process that listens on a free port, the same at each
// start.
func newCollie(binary, dir, storage, irc string) (*collie, error) {
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	routes := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(routes, fmt.Appendf(nil, alertmanager, receiver), 0o600); err != nil {
		return nil, err
	}
	c := &collie{binary: binary, dir: dir, storage: storage, address: address, api: "http://" + address}
	return c, os.WriteFile(c.config(), fmt.Appendf(nil, configuration, routes, irc, nick, channel, receiver), 0o600)
}

func (c *collie) config() string { return filepath.Join(c.dir, "collie.yml") }

// start starts it and waits until it is ready.
func (c *collie) start(ctx context.Context) (err error) {
	c.Process, err = launch.Start(launch.Options{}, c.binary, "up", "--config.file="+c.config(),
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
