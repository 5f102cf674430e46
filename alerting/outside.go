package alerting

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	promnotifier "github.com/prometheus/prometheus/notifier"
	"go.yaml.in/yaml/v3"
)

// outside sends alerts to Alertmanagers elsewhere, with Prometheus' own sender:
// to all of them, so that a cluster decides together.
type outside struct {
	urls    []string
	manager *promnotifier.Manager
	targets map[string][]*targetgroup.Group
	client  *http.Client
}

// outsideQueue is how many alerts wait for Alertmanagers that do not answer. The
// oldest are dropped and counted; rules tell what still fires again.
const outsideQueue = 10_000

func newOutside(urls []string, log *slog.Logger, reg prometheus.Registerer) (*outside, error) {
	o := &outside{urls: urls, targets: map[string][]*targetgroup.Group{}, client: &http.Client{Timeout: 10 * time.Second}}
	var managers []any
	for i, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("alertmanager_urls[%d]: %w", i, err)
		}
		m := map[string]any{"scheme": u.Scheme, "path_prefix": u.Path}
		if u.User != nil {
			password, _ := u.User.Password()
			m["basic_auth"] = map[string]any{"username": u.User.Username(), "password": password}
		}
		managers = append(managers, m)
		o.targets[fmt.Sprintf("config-%d", i)] = []*targetgroup.Group{{
			Source: "0", Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(u.Host)}},
		}}
	}
	text, err := yaml.Marshal(map[string]any{"alerting": map[string]any{"alertmanagers": managers}})
	if err != nil {
		return nil, fmt.Errorf("alertmanager_urls: %w", err)
	}
	conf, err := promconfig.Load(string(text), log)
	if err != nil {
		return nil, fmt.Errorf("alertmanager_urls: %w", err)
	}
	o.manager = promnotifier.NewManager(&promnotifier.Options{QueueCapacity: outsideQueue, Registerer: reg, DrainOnShutdown: true}, log)
	if err := o.manager.ApplyConfig(conf); err != nil {
		return nil, fmt.Errorf("alertmanager_urls: %w", err)
	}
	return o, nil
}

func (o *outside) same(urls []string) bool { return slices.Equal(o.urls, urls) }

func (o *outside) run(ctx context.Context) error {
	targets := make(chan map[string][]*targetgroup.Group, 1)
	targets <- o.targets
	var sending sync.WaitGroup
	sending.Go(func() { o.manager.Run(targets) })
	<-ctx.Done()
	o.manager.Stop()
	sending.Wait()
	return nil
}

func (o *outside) send(alerts []*alert.Alert) {
	list := make([]*promnotifier.Alert, len(alerts))
	for i, a := range alerts {
		list[i] = &promnotifier.Alert{
			Labels: labelsOf(a.Labels), Annotations: labelsOf(a.Annotations),
			StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL,
		}
	}
	o.manager.Send(list...)
}
