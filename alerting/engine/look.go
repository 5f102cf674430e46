package engine

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
)

// What follows tells whether a rule that is silent means that all is well, or
// only that nobody looked.

// late is how much later than its interval a scrape may be.
const late = 5 * time.Second

// Scraped reports that all targets of the jobs answered, and recently: what
// rules see of them is so at that time.
func (e *Engine) Scraped(now time.Time, jobs ...string) bool {
	pools := e.scrape.TargetsActive()
	for _, job := range jobs {
		if len(pools[job]) == 0 {
			return false
		}
		for _, t := range pools[job] {
			if !e.healthy(job, t, now) {
				return false
			}
		}
	}
	return true
}

func (e *Engine) healthy(job string, t *scrape.Target, now time.Time) bool {
	good, last := t.Health() == scrape.HealthGood, t.LastScrape()
	if t.Health() == scrape.HealthUnknown && slices.Contains(e.o.Own, job) { // not yet scraped but by the first look
		last = e.Looked()
		good = !last.IsZero()
	}
	return good && now.Sub(last) < 2*e.interval(job)+late
}

func (e *Engine) interval(job string) time.Duration {
	for _, c := range e.config.Load().ScrapeConfigs {
		if c.JobName == job {
			return time.Duration(c.ScrapeInterval)
		}
	}
	return 0
}

// Lost reports that the series with these labels come from a scrape target that
// is configured and does not answer. Labels without job and instance come from
// none.
func (e *Engine) Lost(ls labels.Labels, now time.Time) bool {
	job, instance := ls.Get("job"), ls.Get(labels.InstanceName)
	if job == "" || instance == "" {
		return false
	}
	for pool, targets := range e.scrape.TargetsActive() {
		for _, t := range targets {
			if t.GetValue("job") == job && t.GetValue(labels.InstanceName) == instance {
				return !e.healthy(pool, t, now)
			}
		}
	}
	return false
}

// Unknown reports that the state of a target was unknown at a time.
func (e *Engine) Unknown(ctx context.Context, target string, at time.Time) (bool, error) {
	v, err := e.Query(ctx, `collie_target_state{state="unknown",target=`+strconv.Quote(target)+`} == 1`, at)
	return len(v) > 0, err
}

// Evaluated reports that all rules were evaluated at or after a time.
func (e *Engine) Evaluated(since time.Time) bool {
	for _, g := range e.rules.RuleGroups() {
		if g.GetLastEvalTimestamp().Before(since) {
			return false
		}
	}
	return true
}

// Verdict is what rules say about an alert.
type Verdict int

// The verdicts.
const (
	NoRule Verdict = iota // no rule has that name
	Active                // it fires, or waits to
	Quiet                 // its rules were evaluated after the time, and none says that it is
	Unsure                // not evaluated since, or with an error
)

// Judge says what the rules of the alert's name say since a time.
func (e *Engine) Judge(ls labels.Labels, since time.Time) Verdict {
	verdict := NoRule
	for _, g := range e.rules.RuleGroups() {
		for _, r := range g.AlertingRules() {
			if r.Name() != ls.Get(labels.AlertName) {
				continue
			}
			switch {
			case active(r, ls):
				return Active
			case g.GetLastEvalTimestamp().Before(since) || r.Health() != rules.HealthGood:
				verdict = Unsure
			case verdict == NoRule:
				verdict = Quiet
			}
		}
	}
	return verdict
}

func active(r *rules.AlertingRule, ls labels.Labels) bool {
	for _, a := range r.ActiveAlerts() {
		if labels.Equal(a.Labels, ls) {
			return true
		}
	}
	return false
}
