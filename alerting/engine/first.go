package engine

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
)

// Prometheus spreads scrapes and evaluations over their intervals, so that the
// first of each comes as late as an interval after the start. Whoever waits for
// fresh samples before people are told would wait for both: the first look is
// made at once instead.
const (
	firstEvery = time.Second // until it succeeds
	firstLimit = 5 * time.Second
)

// Looked is when the first look at ourselves was complete, and its samples were
// there; zero if it was not made or did not succeed.
func (e *Engine) Looked() time.Time {
	if at := e.looked.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// lookFirst scrapes ourselves and evaluates all rules, once.
func (e *Engine) lookFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstLimit)
	defer cancel()
	if !e.scrapeFirst(ctx) {
		e.log.Debug("the first look at ourselves was not made; it comes with the next scrape")
		return
	}
	e.looked.Store(time.Now().UnixNano())
	for _, g := range e.rules.RuleGroups() {
		if ctx.Err() != nil {
			return
		}
		rules.DefaultEvalIterationFunc(ctx, g, time.Now())
	}
}

// scrapeFirst has another manager scrape the jobs of ourselves until all
// answered. It is stopped before the regular one may come, and leaves no stale
// markers behind.
func (e *Engine) scrapeFirst(ctx context.Context) bool {
	c := *e.config.Load()
	c.ScrapeConfigs = nil
	found := map[string][]*targetgroup.Group{}
	for _, job := range e.config.Load().ScrapeConfigs {
		if !slices.Contains(e.o.Own, job.JobName) {
			continue
		}
		soon := *job
		soon.ScrapeInterval = min(soon.ScrapeInterval, model.Duration(firstEvery))
		soon.ScrapeTimeout = soon.ScrapeInterval
		c.ScrapeConfigs = append(c.ScrapeConfigs, &soon)
		for _, sd := range job.ServiceDiscoveryConfigs {
			if static, ok := sd.(discovery.StaticConfig); ok {
				found[job.JobName] = static
			}
		}
	}
	first, err := scrape.NewManager(&scrape.Options{DiscoveryReloadInterval: model.Duration(time.Millisecond), HTTPClientOptions: e.self.options()},
		e.log, noFailureLog, e.storage, prometheus.NewRegistry()) // what it counts is counted nowhere
	if err != nil || len(found) == 0 || first.ApplyConfig(&c) != nil {
		return false
	}
	sets := make(chan map[string][]*targetgroup.Group, 1)
	sets <- found
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = first.Run(sets) // ends with Stop
	}()
	defer func() {
		first.Stop()
		<-done
	}()
	return awaitScrapes(ctx, first, len(found))
}

func awaitScrapes(ctx context.Context, m *scrape.Manager, jobs int) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		good := 0
		for _, targets := range m.TargetsActive() {
			if len(targets) > 0 && !slices.ContainsFunc(targets, func(t *scrape.Target) bool { return t.Health() != scrape.HealthGood }) {
				good++
			}
		}
		if good == jobs {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
