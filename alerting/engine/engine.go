// Package engine is Prometheus inside Collie: a small database of samples,
// scraping, rules and the HTTP API. It is the only package that knows
// Prometheus' internal interfaces, which change with each version.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	_ "github.com/prometheus/prometheus/discovery/dns"  // dns_sd_configs
	_ "github.com/prometheus/prometheus/discovery/file" // file_sd_configs
	_ "github.com/prometheus/prometheus/discovery/http" // http_sd_configs
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
)

// Options of an engine; all but SpaceLow and Self must be set.
type Options struct {
	Dir         string
	Log         *slog.Logger
	Registry    prometheus.Registerer
	Gatherer    prometheus.Gatherer
	Notify      rules.NotifyFunc // hears of every alert that fires or is resolved
	ExternalURL *url.URL         // in links to expressions
	Settings    Settings
	SpaceLow    func() bool  // the data directory is short of room
	Self        http.Handler // answers scrapes of SelfHost; may be nil
	Own         []string     // the jobs that scrape ourselves: they are looked at first
}

// Settings can be changed while the engine runs.
type Settings struct {
	Retention  Retention
	Evaluation time.Duration  // from one evaluation of rules to the next
	Config     *config.Config // the scrape jobs
	RuleFiles  []string       // names that the group loader understands
}

// Engine is Prometheus in this process.
type Engine struct {
	o       Options
	log     *slog.Logger
	storage *Storage
	query   *promql.Engine
	scrape  *scrape.Manager
	targets *discovery.Manager
	rules   *rules.Manager
	self    *self
	stop    context.CancelFunc
	config  atomic.Pointer[config.Config]
	applied atomic.Int64 // Unix nanoseconds of the last accepted settings
	looked  atomic.Int64 // Unix nanoseconds of the first look at ourselves; 0 before it
	started time.Time
	api     http.Handler
}

// Bounds of one query. They keep a query from without from taking the memory
// of the whole process.
const (
	queryTimeout  = 30 * time.Second
	queryMax      = 5_000_000 // samples
	queryParallel = 8
)

// A rule that was pending before a restart waits for at most so long more; and
// how long an outage may be for its waiting time to count at all.
const (
	forGrace  = time.Second
	outageMax = time.Hour
)

// Resend is how often an alert that goes on is told to Alertmanager again.
const Resend = 30 * time.Second

// New opens the database and prepares the rest. Close must be called if Run is
// not.
func New(o Options) (*Engine, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of samples: %w", err)
	}
	if o.SpaceLow == nil {
		o.SpaceLow = func() bool { return false }
	}
	o.Registry = lintClean{o.Registry}
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{o: o, log: o.Log, stop: stop, self: newSelf(o.Self), started: time.Now()}
	e.storage = OpenStorage(o.Dir, o.Settings.Retention, o.Log, o.Registry, o.SpaceLow)
	e.query = promql.NewEngine(promql.EngineOpts{
		Logger: o.Log, Reg: o.Registry, MaxSamples: queryMax, Timeout: queryTimeout, ActiveQueryTracker: newTracker(queryParallel),
		EnableAtModifier: true, EnableNegativeOffset: true, LookbackDelta: lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})
	if err := e.prepare(ctx); err != nil {
		stop()
		return nil, errors.Join(err, e.storage.Close())
	}
	return e, nil
}

func (e *Engine) prepare(ctx context.Context) (err error) {
	reg := e.o.Registry
	mechanisms, err := discovery.CreateAndRegisterSDMetrics(reg)
	if err != nil {
		return fmt.Errorf("register metrics of discovery: %w", err)
	}
	e.targets = discovery.NewManager(ctx, e.log, reg, mechanisms, discovery.Name("scrape"), discovery.Updatert(time.Second))
	if e.targets == nil {
		return errors.New("register metrics of discovery")
	}
	e.scrape, err = scrape.NewManager(&scrape.Options{DiscoveryReloadInterval: seconds(1), HTTPClientOptions: e.self.options()}, e.log, noFailureLog, e.storage, reg)
	if err != nil {
		return fmt.Errorf("prepare scraping: %w", err)
	}
	e.rules = rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(e.query, e.storage), Appendable: e.storage, Queryable: e.storage,
		Context: ctx, NotifyFunc: e.o.Notify, ExternalURL: e.o.ExternalURL, GroupLoader: loader{},
		Logger: e.log, Registerer: reg, OutageTolerance: outageMax, ForGracePeriod: forGrace, ResendDelay: Resend,
		// Groups that a reload brings, too: a rule that moved keeps its patience.
		RestoreNewRuleGroups: true,
	})
	e.api = e.newAPI()
	return e.Apply(ctx, e.o.Settings)
}

// Apply changes the settings. A bad rule file or scrape job is refused, and
// what ran before goes on.
func (e *Engine) Apply(ctx context.Context, s Settings) error {
	if _, errs := e.rules.LoadGroups(s.Evaluation, labels.EmptyLabels(), e.o.ExternalURL.String(), nil, false, s.RuleFiles...); len(errs) > 0 {
		return fmt.Errorf("rules: %w", errors.Join(errs...))
	}
	jobs, err := s.Config.GetScrapeConfigs()
	if err != nil {
		return fmt.Errorf("scrape jobs: %w", err)
	}
	found := map[string]discovery.Configs{}
	for _, job := range jobs {
		found[job.JobName] = job.ServiceDiscoveryConfigs
	}
	if err := e.scrape.ApplyConfig(s.Config); err != nil {
		return fmt.Errorf("scrape jobs: %w", err)
	}
	if err := e.targets.ApplyConfig(found); err != nil {
		return fmt.Errorf("discovery of scrape targets: %w", err)
	}
	if err := e.rules.Update(s.Evaluation, s.RuleFiles, labels.EmptyLabels(), e.o.ExternalURL.String(), nil); err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	if err := e.storage.SetRetention(ctx, s.Retention); err != nil {
		return err
	}
	e.config.Store(s.Config)
	e.applied.Store(time.Now().UnixNano())
	return nil
}

// lookEvery is how often the room on the disk is looked at.
const lookEvery = time.Second

// Run scrapes and evaluates until ctx ends, and closes the database.
func (e *Engine) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { _ = e.targets.Run() })                  // ends with its context
	parts.Go(func() { _ = e.scrape.Run(e.targets.SyncCh()) }) // ends with Stop
	parts.Go(e.self.serve)
	parts.Go(func() {
		e.lookFirst(ctx) // no rule is evaluated beside it
		e.rules.Run()
	})
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			e.storage.Look(ctx)
		}
	}
	e.rules.Stop()
	e.scrape.Stop()
	e.stop()
	e.self.close()
	parts.Wait()
	return e.Close()
}

// Close gives the database back where Run was not called.
func (e *Engine) Close() error {
	e.stop()
	return e.storage.Close()
}

// Query evaluates an expression at a time.
func (e *Engine) Query(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	q, err := e.query.NewInstantQuery(ctx, e.storage, nil, expr, at)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, r.Err)
	}
	v, err := r.Vector()
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	out := make(promql.Vector, len(v)) // the query's own is used again
	for i, s := range v {
		s.Metric = s.Metric.Copy()
		out[i] = s
	}
	return out, nil
}
