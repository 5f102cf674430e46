package engine

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/util/notifications"
	webv1 "github.com/prometheus/prometheus/web/api/v1"
)

// Version of Prometheus that this is, as Grafana reads it.
const Version = "3.4.2"

// Limits of remote reading.
const (
	remoteReadSamples  = 5_000_000
	remoteReadParallel = 2
	remoteReadFrame    = 1 << 20
)

// ServeHTTP answers Prometheus' HTTP API below /api/v1.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.api.ServeHTTP(w, r) }

func (e *Engine) newAPI() http.Handler {
	api := webv1.NewAPI(
		e.query, e.storage, nil, e.storage,
		func(context.Context) webv1.ScrapePoolsRetriever { return e.scrape },
		func(context.Context) webv1.TargetRetriever { return e.scrape },
		func(context.Context) webv1.AlertmanagerRetriever { return noAlertmanagers{} },
		func() config.Config { return *e.config.Load() },
		map[string]string{},
		webv1.GlobalURLOptions{ListenAddress: e.o.ExternalURL.Host, Host: e.o.ExternalURL.Host, Scheme: e.o.ExternalURL.Scheme},
		func(f http.HandlerFunc) http.HandlerFunc { return f },
		e.storage, e.storage.dir, false, e.log,
		func(context.Context) webv1.RulesRetriever { return e.rules },
		remoteReadSamples, remoteReadParallel, remoteReadFrame, false,
		regexp.MustCompile("^$"), // no other origin
		e.runtimeInfo,
		&webv1.PrometheusVersion{Version: Version, GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		e.o.Gatherer, e.o.Registry, webv1.DefaultStatsRenderer,
		false, nil, false, false, false, false,
	)
	r := route.New()
	api.Register(r.WithPrefix("/api/v1"))
	return r
}

func (e *Engine) runtimeInfo() (webv1.RuntimeInfo, error) {
	host, err := os.Hostname()
	if err != nil {
		return webv1.RuntimeInfo{}, fmt.Errorf("name of this machine: %w", err)
	}
	return webv1.RuntimeInfo{
		StartTime: e.started, ServerTime: time.Now(), Hostname: host, ReloadConfigSuccess: true,
		LastConfigTime: time.Unix(0, e.applied.Load()), GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
	}, nil
}

// noAlertmanagers: alerts do not leave this process by HTTP.
type noAlertmanagers struct{}

func (noAlertmanagers) Alertmanagers() []*url.URL        { return nil }
func (noAlertmanagers) DroppedAlertmanagers() []*url.URL { return nil }
