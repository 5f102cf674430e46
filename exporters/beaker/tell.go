package beaker

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// end judges a probe: it fails if the server did, or if something is too old.
// What is known is told in any case.
func (a *asking) end(err error) probe.Result {
	if err != nil {
		a.fail(err)
	}
	m := a.export()
	old, age := a.oldest()
	a.fail(a.remembered())
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.first != nil:
		return probe.Fail(m, a.first.reason, a.first.cause)
	case age > a.MaxAge && a.spent:
		return probe.Fail(m, probe.Quota, fmt.Sprintf("%s could not be asked for: the %d requests_per_hour are spent; ask for less, or raise it", old, a.RequestsPerHour))
	case age > a.MaxAge:
		return probe.Fail(m, probe.Stale, fmt.Sprintf("%s is %s old: the time of the probe does not suffice for all that is asked for", old, age.Round(time.Second)))
	case a.unknown() != "" && a.spent:
		return probe.Fail(m, probe.Quota, fmt.Sprintf("%s could not be asked for: the %d requests_per_hour are spent", a.unknown(), a.RequestsPerHour))
	case a.unknown() != "":
		return probe.Fail(m, probe.Timeout, fmt.Sprintf("%s could not be had in the time of the probe", a.unknown()))
	}
	return probe.Result{Success: true, Metrics: m}
}

// remembered is a failure of an earlier probe that was not asked about again
// since.
func (a *asking) remembered() error {
	if a.server == nil {
		return nil
	}
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	var all []*trouble
	for _, feed := range slices.Sorted(maps.Keys(a.server.feeds)) {
		all = append(all, a.server.feeds[feed].failed)
	}
	for _, pool := range slices.Sorted(maps.Keys(a.server.pools)) {
		all = append(all, a.server.pools[pool].failed)
	}
	for _, name := range slices.Sorted(maps.Keys(a.server.systems)) {
		all = append(all, a.server.systems[name].failed)
	}
	for _, t := range append(all, a.server.jobs.failed) {
		if t != nil {
			return t
		}
	}
	return nil
}

// oldest is what was learned longest ago, and when.
func (a *asking) oldest() (what string, age time.Duration) {
	if a.server == nil {
		return "", 0
	}
	now := a.now()
	see := func(name string, learned time.Time) {
		if d := now.Sub(learned); !learned.IsZero() && d > age {
			what, age = name, d
		}
	}
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	for name, f := range a.server.feeds {
		see("the feed "+name, f.learned)
	}
	for name, f := range a.server.pools {
		see("the pool "+name, f.learned)
	}
	for name, f := range a.server.systems {
		see("the status of "+name, f.learned)
	}
	if a.Jobs {
		see("the list of jobs", a.server.jobs.learned)
	}
	return what, age
}

// unknown is something that was wanted and never learned: without it there is
// no success. Of many systems some may wait for the next probe.
func (a *asking) unknown() string {
	if a.server == nil {
		return ""
	}
	names, _ := a.wanted()
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	for _, feed := range a.Feeds {
		if a.server.feeds[feed].learned.IsZero() {
			return "the feed " + feed
		}
	}
	for _, pool := range a.Pools {
		if a.server.pools[pool].learned.IsZero() {
			return "the pool " + pool
		}
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !a.server.systems[n].learned.IsZero() }) {
		return "the status of all systems"
	}
	if a.Jobs && a.server.jobs.learned.IsZero() {
		return "the list of jobs"
	}
	return ""
}

// export tells what is known, and what the probe cost.
func (a *asking) export() (m probe.Metrics) {
	left := 0.0
	if a.budget != nil {
		left = a.budget.rest(float64(a.RequestsPerHour), a.now())
	}
	m.Gauge("probe_beaker_requests", "Requests that this probe made.", float64(a.requests.Load()))
	m.Gauge("probe_beaker_received_bytes", "Bytes of answers that this probe read.", float64(a.received.Load()))
	m.Gauge("probe_beaker_requests_left", "Requests that may still be made of requests_per_hour.", left)
	for _, phase := range []string{"feeds", "pools", "systems", "jobs"} {
		m.Gauge("probe_beaker_duration_seconds", phaseHelp, a.phases[phase].Seconds(), "phase", phase)
	}
	if a.server == nil {
		a.exportWaiting(&m, 0, 0)
		return m
	}
	names, dropped := a.wanted()
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	waiting := 0
	for _, name := range names {
		if a.server.systems[name].learned.IsZero() {
			waiting++
		}
	}
	a.exportWaiting(&m, waiting, dropped)
	a.exportFeeds(&m)
	a.exportSystems(&m)
	a.exportJobs(&m)
	return m
}

func (a *asking) exportWaiting(m *probe.Metrics, waiting, dropped int) {
	m.Gauge("probe_beaker_systems_waiting", "Systems whose status could not be read yet.", float64(waiting))
	m.Gauge("probe_beaker_systems_dropped", "Systems that are not told about because there are max_systems already.", float64(dropped))
}

func (a *asking) age(learned time.Time) float64 { return a.now().Sub(learned).Seconds() }

func (a *asking) exportFeeds(m *probe.Metrics) {
	for _, feed := range a.Feeds {
		f := a.server.feeds[feed]
		if f.learned.IsZero() {
			continue
		}
		m.Gauge("probe_beaker_feed_systems", "Systems in a feed: all, those that may be reserved by who asks, and the free ones of these.", float64(f.value), "feed", feed)
		m.Gauge("probe_beaker_feed_age_seconds", "How long ago the feed was read; it is read again after refresh.", a.age(f.learned), "feed", feed)
	}
}

func (a *asking) exportSystems(m *probe.Metrics) {
	for _, name := range slices.Sorted(maps.Keys(a.server.systems)) {
		f := a.server.systems[name]
		if f.learned.IsZero() {
			continue
		}
		for _, c := range conditions {
			m.Gauge("probe_beaker_system_condition", "1 for the condition in which the system is, 0 for the others.", probe.Bool(c == f.value.condition), "system", name, "condition", c)
		}
		m.Gauge("probe_beaker_system_loaned", "1 if the system is on loan to somebody.", probe.Bool(f.value.loaned), "system", name)
		m.Gauge("probe_beaker_system_reserved", "1 if somebody, or a recipe, has reserved the system.", probe.Bool(f.value.reserved), "system", name)
		began := 0.0
		if !f.value.recipe.IsZero() {
			began = float64(f.value.recipe.Unix())
		}
		m.Gauge("probe_beaker_system_recipe_start_timestamp_seconds", "When the recipe that has reserved the system began; 0 if none has.", began, "system", name)
		m.Gauge("probe_beaker_system_age_seconds", "How long ago the status of the system was read; it is read again after refresh.", a.age(f.learned), "system", name)
	}
}

func (a *asking) exportJobs(m *probe.Metrics) {
	j := a.server.jobs
	if !a.Jobs || j.learned.IsZero() {
		return
	}
	m.Gauge("probe_beaker_unfinished_jobs", "Unfinished jobs of jobs_owner and jobs_group, at most max_jobs.", float64(j.value.listed))
	m.Gauge("probe_beaker_unfinished_jobs_limited", "1 if there may be more than max_jobs.", probe.Bool(j.value.listed >= int(a.MaxJobs)))
	for _, status := range recipeWords {
		m.Gauge("probe_beaker_job_recipes", "Recipes of these jobs by status.", float64(j.value.recipes[status]), "status", status)
	}
	m.Gauge("probe_beaker_jobs_age_seconds", "How long ago the jobs were read; they are read again after refresh.", a.age(j.learned))
}
