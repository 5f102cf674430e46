package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// stage is a Collie with its networks.
type stage struct {
	url     string
	collie  *launch.Process
	servers []server
}

// open starts networks and a Collie, and waits until it sits in all channels.
func open(ctx context.Context, binary, dir string, networks int) (s *stage, err error) {
	s = &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	config, manager := "alerting: {config_file: alertmanager.yml}\nirc:\n", "route: {receiver: people0}\nreceivers:\n"
	for i := range networks {
		one, err := listen(ctx)
		if err != nil {
			return s, err
		}
		s.servers = append(s.servers, one)
		config += fmt.Sprintf("  - {name: net%d, servers: ['%s'], channels: {'%s': {receivers: [people%d]}}}\n", i, one.listener.Addr(), channel, i)
		manager += fmt.Sprintf("  - name: people%d\n", i)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return s, err
	}
	for name, text := range map[string]string{"collie.yml": config, "alertmanager.yml": manager} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return s, err
		}
	}
	port, err := launch.FreePort()
	if err != nil {
		return s, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s.url = "http://" + address
	if s.collie, err = launch.Start(launch.Options{Dir: dir}, binary, "up", "--web.listen-address="+address); err != nil {
		return s, err
	}
	return s, s.settle(ctx)
}

func (s *stage) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := launch.AwaitHTTP(ctx, s.url+"/-/ready", "", s.collie); err != nil {
		return err
	}
	for _, one := range s.servers {
		if err := one.Await(ctx, "Collie in "+channel, func() bool { return one.In(channel, "collie") }); err != nil {
			return fmt.Errorf("%w\n%s", err, s.collie.Tail())
		}
	}
	return nil
}

func (s *stage) close() error {
	var err error
	if s.collie != nil {
		err = s.collie.End(30 * time.Second)
	}
	for _, one := range s.servers {
		err = errors.Join(err, one.close())
	}
	return err
}

func alertName(i int) string { return fmt.Sprintf("Bench%d", i) }

// post tells of an alert as an Alertmanager does.
func (s *stage) post(ctx context.Context, i, network int) error {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	body := fmt.Sprintf(`{"version":"4","groupKey":"{}:{alertname=\"%[1]s\"}","status":"firing","receiver":"people%[2]d","groupLabels":{"alertname":%[1]q},
		"commonLabels":{},"commonAnnotations":{},"externalURL":"http://127.0.0.1:9093","alerts":[{"status":"firing",
		"labels":{"alertname":%[1]q,"target":"shop","severity":"critical"},"annotations":{"summary":"shop is down: refused",
		"runbook_url":"https://github.com/colliehq/collie/blob/main/docs/runbooks/TargetDown.md"},"startsAt":%[3]q,
		"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://127.0.0.1:9090/graph","fingerprint":"%016[4]x"}]}`, alertName(i), network, now, i+1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/hook/alertmanager", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the webhook is answered with %s: %s", resp.Status, answer)
	}
	return nil
}
