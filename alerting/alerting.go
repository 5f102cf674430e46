// Package alerting decides what people are told: it holds Prometheus, which
// scrapes and evaluates rules, and Alertmanager, which groups, mutes and routes,
// in this process, or takes the word of those that run elsewhere. Each alert
// that a receiver is to hear of becomes a signal on the queue.
package alerting

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/alerting/engine"
	"github.com/colliehq/collie/alerting/manager"
	"github.com/colliehq/collie/alerting/notifier"
	"github.com/colliehq/collie/internal/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Options of alerting; all but Now must be set. The subscriptions to the topic
// of signals are declared before New, and the states of targets are on
// /targets/metrics before Run.
type Options struct {
	Config   Config
	Store    *store.Store
	Registry prometheus.Registerer
	Gatherer prometheus.Gatherer
	Listener string // URL of our own listener, for links, and for scraping where Self is nil
	// Self answers /metrics and /targets/metrics inside of this process, past
	// passwords and certificates that the listener may ask for.
	Self   http.Handler
	Dir    string // for samples, below the data directory
	Log    *slog.Logger
	Source string           // "alerting/HOST", in all signals
	Now    func() time.Time // wall time; nil means the machine's
}

// Alerting is the role that decides what is told. It is a task: Run it once.
type Alerting struct {
	o        Options
	log      *slog.Logger
	self     *url.URL
	notifier *notifier.Notifier
	engine   *engine.Engine   // nil: an outside Prometheus
	manager  *manager.Manager // nil: outside Alertmanagers
	outside  *outside         // nil: the embedded Alertmanager
	keeper   *keeper
	ready    chan struct{} // what was known is restored, and the APIs answer
	open     chan struct{} // rules speak of the present: from now on people are told

	mu  sync.Mutex             // one reload at a time
	cfg atomic.Pointer[Config] // the running one; rules read it while they tell
}

// New restores what was known and prepares the engines. Close must be called if
// Run is not.
func New(ctx context.Context, o Options) (_ *Alerting, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Alerting{o: o, log: o.Log, ready: make(chan struct{}), open: make(chan struct{})}
	a.cfg.Store(&o.Config)
	if a.self, err = url.Parse(o.Listener); err != nil {
		return nil, fmt.Errorf("address of our listener: %w", err)
	}
	tables, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, fmt.Errorf("migrations of alerting: %w", err)
	}
	if err := o.Store.Migrate(ctx, "alerting", tables); err != nil {
		return nil, err
	}
	a.notifier = notifier.New(o.Store, o.Source, o.Log, o.Registry, o.Now)
	if err := a.prepare(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Alerting) prepare(ctx context.Context) error {
	if err := a.prepareManager(ctx); err != nil {
		return err
	}
	if err := a.prepareEngine(); err != nil {
		return err
	}
	a.recall(ctx)
	return nil
}

func (a *Alerting) prepareManager(ctx context.Context) (err error) {
	if !a.cfg.Load().embedsAlertmanager() {
		a.outside, err = newOutside(a.cfg.Load().AlertmanagerURLs, a.log, a.o.Registry)
		return err
	}
	settings, err := a.cfg.Load().managerSettings()
	if err != nil {
		return err
	}
	external, err := a.external(manager.Prefix)
	if err != nil {
		return err
	}
	a.manager, err = manager.New(ctx, manager.Options{
		Store: a.o.Store, Notifier: a.notifier, Log: a.log.With("engine", "alertmanager"), Registry: a.o.Registry,
		ExternalURL: external, Now: a.o.Now, Settings: settings,
	})
	return err
}

func (a *Alerting) prepareEngine() (err error) {
	if !a.cfg.Load().embedsPrometheus() {
		return nil
	}
	settings, err := a.cfg.Load().engineSettings(a.scrapeURL(), a.instance(), a.log)
	if err != nil {
		return err
	}
	external, err := a.external("")
	if err != nil {
		return err
	}
	a.keeper = newKeeper(a)
	a.engine, err = engine.New(engine.Options{
		Dir: a.o.Dir, Log: quietly(a.log).With("engine", "prometheus"), Registry: a.o.Registry, Gatherer: a.o.Gatherer,
		Notify: a.keeper.notify, ExternalURL: external, Settings: settings, SpaceLow: a.o.Store.SpaceLow,
		Self: a.o.Self, Own: []string{selfJob, targetsJob},
	})
	return err
}

// scrapeURL is where we scrape ourselves.
func (a *Alerting) scrapeURL() *url.URL {
	if a.o.Self != nil {
		return &url.URL{Scheme: "http", Host: engine.SelfHost}
	}
	return a.self
}

// instance is what our own series are labelled with: this machine, whatever the
// port.
func (a *Alerting) instance() string {
	_, host, _ := strings.Cut(a.o.Source, "/")
	return host
}

// external is how people reach a path of ours.
func (a *Alerting) external(path string) (*url.URL, error) {
	text := a.cfg.Load().ExternalURL
	if text == "" {
		text = a.o.Listener
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("external_url: %w", err)
	}
	return u.JoinPath(path), nil
}

// Name implements the task.
func (*Alerting) Name() string { return "alerting" }

// Ready implements the task: it is closed once what was known is restored. People
// are told from then on as soon as rules were evaluated on fresh samples.
func (a *Alerting) Ready() <-chan struct{} { return a.ready }

// Run scrapes, evaluates and tells until ctx ends.
func (a *Alerting) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	failures := make(chan error, 4)
	run := func(f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil {
				failures <- err
			}
		})
	}
	if a.engine != nil {
		run(a.engine.Run)
		run(a.keeper.run)
	}
	if a.outside != nil {
		run(a.outside.run)
	}
	if a.manager != nil {
		if a.engine == nil {
			a.manager.Start()
		}
		run(a.manager.Run)
	}
	if a.engine == nil {
		close(a.ready)
		close(a.open)
	}
	parts.Wait()
	close(failures)
	var errs []error
	for err := range failures {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Close gives back what New took, where Run is not called.
func (a *Alerting) Close() error {
	if a.manager != nil {
		a.manager.Close()
	}
	if a.engine != nil {
		return a.engine.Close()
	}
	return nil
}

// Reload changes rules, routes and jobs without losing state, or changes
// nothing and says why. Whether an engine runs here or outside cannot be
// changed by it.
func (a *Alerting) Reload(ctx context.Context, c Config) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.embedsPrometheus() != (a.engine != nil) || c.embedsAlertmanager() != (a.manager != nil) ||
		a.outside != nil && !a.outside.same(c.AlertmanagerURLs) {
		return errors.New("alerting.prometheus_url and alerting.alertmanager_urls are read at the start only: restart Collie")
	}
	routes, err := a.reloadable(c)
	if err != nil {
		return err
	}
	before := *a.cfg.Load()
	if a.engine != nil {
		settings, err := c.engineSettings(a.scrapeURL(), a.instance(), a.log)
		if err == nil {
			err = a.engine.Apply(ctx, settings)
		}
		if err != nil {
			return fmt.Errorf("alerting: %w", errors.Join(err, a.restore(ctx, before)))
		}
	}
	if a.manager != nil {
		if err := a.manager.Apply(routes); err != nil {
			return fmt.Errorf("alerting: %w", errors.Join(err, a.restore(ctx, before)))
		}
	}
	a.cfg.Store(&c)
	if a.keeper != nil {
		a.keeper.reloaded()
	}
	return nil
}

// reloadable checks the routes before anything is changed.
func (a *Alerting) reloadable(c Config) (manager.Settings, error) {
	if a.manager == nil {
		return manager.Settings{}, nil
	}
	s, err := c.managerSettings()
	if err == nil {
		err = manager.CheckConfig(s.Config)
	}
	if err != nil {
		return s, fmt.Errorf("alerting: %w", err)
	}
	return s, nil
}

// restore goes back to what ran, after a part of a new configuration was
// refused.
func (a *Alerting) restore(ctx context.Context, before Config) error {
	settings, err := before.engineSettings(a.scrapeURL(), a.instance(), a.log)
	if err != nil {
		return err
	}
	return a.engine.Apply(ctx, settings)
}

// Register adds the routes to mux: Prometheus' API, Alertmanager's API, and the
// webhook for Alertmanagers elsewhere.
func (a *Alerting) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+manager.HookPath, a.hook)
	if a.engine != nil {
		mux.Handle("/api/v1/", a.engine)
	}
	if a.manager != nil {
		mux.Handle(manager.Prefix+"/api/", a.manager)
	}
}
