// Package manager is Alertmanager inside Collie: routing, grouping, silences,
// inhibition and the API that amtool speaks. What it knows is kept in the
// store, so that neither a restart nor a crash makes it tell twice, forget a
// silence, or miss a recovery. It is the only package that knows Alertmanager's
// internal interfaces, which change with each version.
package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/api"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"

	"github.com/colliehq/collie/alerting/notifier"
	"github.com/colliehq/collie/internal/store"
)

// Options of a manager; all must be set.
type Options struct {
	Store       *store.Store // with the tables of alerting
	Notifier    *notifier.Notifier
	Log         *slog.Logger
	Registry    prometheus.Registerer
	ExternalURL *url.URL // of Alertmanager's API
	Now         func() time.Time
	Settings    Settings
}

// Settings can be changed while the manager runs.
type Settings struct {
	Config *config.Config
	// Queued are receivers that tell the queue although the configuration does
	// not say so by a webhook.
	Queued []string
}

// Prefix of Alertmanager's paths.
const Prefix = "/alertmanager"

const (
	retention    = 120 * time.Hour // of silences that ended and of what was told: Alertmanager's default
	collectAlert = 30 * time.Minute
	tidyEvery    = time.Minute
	apiTimeout   = 30 * time.Second
)

// Manager is Alertmanager in this process.
type Manager struct {
	o       Options
	log     *slog.Logger
	started time.Time

	alerts   *Alerts
	silences *silences
	journal  *journal
	groups   marker.GroupMarker
	pipeline *notify.PipelineBuilder
	metrics  *dispatch.DispatcherMetrics
	api      *api.API
	handler  http.Handler

	mu         sync.Mutex // one reload, start or stop at a time
	running    bool
	settings   Settings
	stage      notify.Stage
	template   atomic.Pointer[template.Template]
	routes     *dispatch.Route
	dispatcher atomic.Pointer[dispatch.Dispatcher]
	inhibitor  atomic.Pointer[inhibit.Inhibitor]
	goroutines sync.WaitGroup
}

// New restores what is in the store. Nothing is told before Start.
func New(ctx context.Context, o Options) (*Manager, error) {
	m := &Manager{o: o, log: o.Log, started: o.Now(), groups: marker.NewGroupMarker()}
	none := eventrecorder.NopRecorder()
	var err error
	if m.journal, err = openJournal(ctx, o); err != nil {
		return nil, err
	}
	if m.silences, err = openSilences(ctx, o, none); err != nil {
		return nil, err
	}
	if m.alerts, err = openAlerts(ctx, o, m.silences.silencer, m.journal.firing); err != nil {
		return nil, err
	}
	flags := featurecontrol.NoopFlags{}
	m.pipeline = notify.NewPipelineBuilder(o.Registry, flags, none)
	m.metrics = dispatch.NewDispatcherMetrics(false, o.Registry, flags)
	if err := m.prepareAPI(); err != nil {
		return nil, err
	}
	return m, m.Apply(o.Settings)
}

func (m *Manager) prepareAPI() (err error) {
	m.api, err = api.New(api.Options{
		Alerts: m.alerts, Silences: m.silences.Silences, GroupMutedFunc: m.groups.Muted, Timeout: apiTimeout,
		Logger: m.log, Registry: m.o.Registry, GroupFunc: m.groupsOf,
		RequestDuration: promauto.With(m.o.Registry).NewHistogramVec(prometheus.HistogramOpts{
			Name: "alertmanager_http_request_duration_seconds", Help: "Histogram of latencies for HTTP requests.",
			Buckets: prometheus.DefBuckets,
		}, []string{"handler", "method", "code"}),
	})
	if err != nil {
		return fmt.Errorf("prepare Alertmanager's API: %w", err)
	}
	m.handler = m.silences.guard(m.api.Register(route.New(), Prefix))
	return nil
}

// ServeHTTP answers Alertmanager's API below /alertmanager/api/v2.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

func (m *Manager) groupsOf(ctx context.Context, routes func(*dispatch.Route) bool, alerts func(*alert.Alert, time.Time) bool) (dispatch.AlertGroups, map[model.Fingerprint][]string, error) {
	d := m.dispatcher.Load()
	if d == nil { // not started yet
		return nil, nil, nil
	}
	return d.Groups(ctx, routes, alerts)
}

// Alerts is where alerts come in.
func (m *Manager) Alerts() *Alerts { return m.alerts }

// Apply changes routes, receivers and inhibition. A configuration that cannot be
// used is refused, and what ran before goes on.
func (m *Manager) Apply(s Settings) error {
	built, err := m.build(s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halt()
	m.settings = s
	m.swap(built)
	return nil
}

// Start begins to tell: call it once rules were evaluated on fresh samples, so
// that what fired before is known again.
func (m *Manager) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return
	}
	m.running = true
	m.dispatch()
}

// swap makes a built configuration the current one, in Alertmanager's order:
// the new inhibitor knows the alerts before the new dispatcher asks it.
func (m *Manager) swap(b *built) {
	inhibitor := inhibit.NewInhibitor(m.alerts, b.config.InhibitRules, m.log, eventrecorder.NopRecorder())
	m.stage, m.routes = m.stageOf(b, inhibitor), b.routes
	m.api.Update(b.config, func(ctx context.Context, labels model.LabelSet) {
		m.inhibitor.Load().Mutes(ctx, labels)
		m.silences.silencer.Mutes(ctx, labels)
	})
	m.goroutines.Go(inhibitor.Run)
	inhibitor.WaitForLoading()
	m.inhibitor.Store(inhibitor)
	m.template.Store(b.template)
	if m.running {
		m.dispatch()
	}
}

func (m *Manager) dispatch() {
	d := dispatch.NewDispatcher(m.alerts, m.routes, m.stage, m.groups, notifyTimeout, collectGroups, nil,
		m.log, eventrecorder.NopRecorder(), m.metrics, m.template.Load())
	m.goroutines.Go(func() { d.Run(m.started) })
	d.WaitForLoading()
	m.dispatcher.Store(d)
}

const collectGroups = 30 * time.Second

func notifyTimeout(interval time.Duration) time.Duration { return max(interval, notify.MinTimeout) }

func (m *Manager) halt() {
	if i := m.inhibitor.Load(); i != nil {
		i.Stop()
	}
	if d := m.dispatcher.Load(); d != nil {
		d.Stop()
	}
}

// Run tidies until ctx ends, then stops.
func (m *Manager) Run(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			m.tidy(ctx)
		}
	}
	m.Close()
	return nil
}

// Close stops telling. It is for managers that are not run.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = false
	m.halt()
	m.goroutines.Wait()
	m.alerts.Close()
}

func (m *Manager) tidy(ctx context.Context) {
	err := errors.Join(m.journal.tidy(ctx), m.silences.tidy(ctx), m.alerts.tidy(ctx))
	if err != nil && ctx.Err() == nil {
		m.log.Warn("tidy what Alertmanager knows", "err", err)
	}
}
