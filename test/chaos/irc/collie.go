package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// readyLimit is when starting counts as hanging.
const readyLimit = time.Minute

const (
	channel  = "#ops"
	nick     = "collie"
	password = "secret-of-collie"
)

// alertmanager has the alerts of a place told there. Each is told on its own.
const alertmanager = `route:
  receiver: nobody
  group_by: [alertname, target]
  group_wait: 0s
  group_interval: 1s
  routes:
{{- range . }}
    - {receiver: {{ . }}, matchers: ['place="{{ . }}"']}
{{- end }}
receivers:
  - {name: nobody}
{{- range . }}
  - {name: {{ . }}, webhook_configs: [{url: "http://127.0.0.1/hook/alertmanager"}]}
{{- end }}
`

// Real servers have their own idea of how much may be said: the default rate
// is for them.
const configuration = `alerting: {config_file: {{ .Routes }}, scrape_interval: 1s, evaluation_interval: 1s}
irc:
{{- range .Places }}
  - name: {{ .Name }}
    servers: ["{{ .Address }}"]
    nick: {{ $.Nick }}
    reconnect: {min: 300ms, max: 2s}
    channels: {"{{ $.Channel }}": {receivers: [{{ .Name }}]}}
    {{- if .Account }}
    sasl: {account: {{ $.Nick }}, password_file: {{ $.PasswordFile }}}
    {{- end }}
    {{- if .Fast }}
    rate: {burst: 4, every: 200ms}
    {{- end }}
{{- end }}
`

// written is a place in the configuration.
type written struct {
	Name, Address string
	Account, Fast bool
}

// write fills in a file.
func write(file, text string, with any) error {
	var b bytes.Buffer
	if err := template.Must(template.New("").Parse(text)).Execute(&b, with); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o600)
}

// collie is the process under test.
type collie struct {
	binary, dir, storage string
	address, api         string
	*launch.Process
}

// newCollie prepares a process that listens on a free port, the same at each
// start.
func newCollie(binary, dir, storage string, places []place) (*collie, error) {
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	c := &collie{binary: binary, dir: dir, storage: storage, address: address, api: "http://" + address}
	routes, secret := filepath.Join(dir, "alertmanager.yml"), filepath.Join(dir, "irc.password")
	var names []string
	var known []written
	for _, p := range places {
		w := written{Name: p.network(), Address: p.address(), Fast: p.network() == "scripted"}
		if r, ok := p.(*genuine); ok {
			w.Account = r.services
		}
		names, known = append(names, w.Name), append(known, w)
	}
	return c, errors.Join(
		os.WriteFile(secret, []byte(password), 0o600),
		write(routes, alertmanager, names),
		write(c.config(), configuration, map[string]any{"Routes": routes, "Places": known, "Nick": nick, "Channel": channel, "PasswordFile": secret}),
	)
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
