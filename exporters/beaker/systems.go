package beaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// systemsOptions are a module's options under "beaker_systems".
type systemsOptions struct {
	Feeds              []string      `yaml:"feeds"`
	Systems            []string      `yaml:"systems"`
	Pools              []string      `yaml:"pools"`
	SystemsOfFeed      string        `yaml:"systems_of_feed"`
	MaxSystems         count         `yaml:"max_systems"`
	Jobs               bool          `yaml:"jobs"`
	JobsOwner          string        `yaml:"jobs_owner"`
	JobsGroup          string        `yaml:"jobs_group"`
	MaxJobs            count         `yaml:"max_jobs"`
	Refresh            time.Duration `yaml:"refresh"`
	MaxAge             time.Duration `yaml:"max_age"`
	RequestsPerHour    count         `yaml:"requests_per_hour"`
	Username           string        `yaml:"username"`
	PasswordFile       string        `yaml:"password_file"`
	CAFile             string        `yaml:"ca_file"`
	InsecureSkipVerify bool          `yaml:"insecure_skip_verify"`
}

// feedPaths are the feeds of systems: all, those that the asker may reserve,
// and of these the ones that nobody uses.
var feedPaths = map[string]string{"all": "/", "available": "/available/", "free": "/free/"}

// parallel is how many requests are made to a server at once.
const parallel = 4

// systemsProbe is a module that asks, ready to probe.
type systemsProbe struct {
	systemsOptions
	beaker *Beaker
}

func (x *Beaker) buildSystems(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	p := &systemsProbe{beaker: x, systemsOptions: systemsOptions{
		Feeds: []string{"all", "available", "free"}, MaxSystems: 200, MaxJobs: 50,
		Refresh: 5 * time.Minute, MaxAge: 30 * time.Minute, RequestsPerHour: 3600,
	}}
	p.validate(decode(node, &p.systemsOptions, bad))
	return p.probe
}

func (o *systemsOptions) validate(mistake func(path, message string)) {
	for i, feed := range o.Feeds {
		if feedPaths[feed] == "" {
			mistake(fmt.Sprintf("feeds[%d]", i), fmt.Sprintf("%q is none of all, available and free", feed))
		}
	}
	if o.SystemsOfFeed != "" && feedPaths[o.SystemsOfFeed] == "" {
		mistake("systems_of_feed", fmt.Sprintf("%q is none of all, available and free", o.SystemsOfFeed))
	}
	for i, name := range o.Systems {
		if !isHost(name) {
			mistake(fmt.Sprintf("systems[%d]", i), fmt.Sprintf("%q is not the name of a host", name))
		}
	}
	for i, name := range o.Pools {
		if name == "" || strings.Contains(name, "/") {
			mistake(fmt.Sprintf("pools[%d]", i), fmt.Sprintf("%q is not the name of a pool", name))
		}
	}
	if o.Refresh < time.Second || o.MaxAge < o.Refresh {
		mistake("refresh", "must be from 1s to max_age")
	}
	if (o.Username == "") != (o.PasswordFile == "") {
		mistake("username", "needs password_file, and the other way round")
	}
	if !o.Jobs && (o.JobsOwner != "" || o.JobsGroup != "") {
		mistake("jobs", "must be true for jobs_owner and jobs_group to mean anything")
	}
}

// asking is one probe of a server.
type asking struct {
	*client
	server *server
	phases map[string]time.Duration

	mu    sync.Mutex // guards what follows
	first *trouble   // the first failure
	spent bool       // the budget
}

func (p *systemsProbe) probe(ctx context.Context, req probe.Request) probe.Result {
	a := &asking{client: &client{systemsOptions: p.systemsOptions, now: p.beaker.now}, phases: map[string]time.Duration{}}
	base, err := baseOf(req.Target)
	if err != nil {
		return probe.Fail(a.export(), probe.Protocol, err.Error())
	}
	key := fmt.Sprint(base, p.systemsOptions)
	var b *budget
	a.server, b = p.beaker.memory.of(key, base.String(), float64(p.RequestsPerHour), p.beaker.now())
	c, err := p.client(base, req, b, p.beaker.now)
	if err != nil {
		return a.end(err)
	}
	defer c.http.CloseIdleConnections()
	a.client = c
	if a.takeTurn(ctx) {
		a.ask(ctx)
		a.server.turn <- struct{}{}
	}
	return a.end(nil)
}

func baseOf(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("the target is not the address of a Beaker server, such as https://beaker.example.org/bkr")
	}
	u.Fragment = ""
	return u, nil
}

// takeTurn waits for another probe of the same server, unless what that one
// knows already can be told.
func (a *asking) takeTurn(ctx context.Context) bool {
	select {
	case <-a.server.turn:
		return true
	default:
	}
	if a.server.knows() {
		return false
	}
	select {
	case <-a.server.turn:
		return true
	case <-ctx.Done():
		a.fail(&trouble{probe.Timeout, "another probe of this server is still waiting for its answers", true})
		return false
	}
}

func (s *server) knows() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.feeds) > 0 || len(s.systems) > 0 || !s.jobs.learned.IsZero()
}

// ask brings up to date what is older than refresh, until the time, the budget
// or the server's patience ends. What cannot be asked for now stays for the
// next probe, which begins with it.
func (a *asking) ask(ctx context.Context) {
	for _, part := range []struct {
		name string
		ask  func(context.Context)
	}{{"feeds", a.askFeeds}, {"pools", a.askPools}, {"systems", a.askSystems}, {"jobs", a.askJobs}} {
		start := time.Now()
		part.ask(ctx)
		a.phases[part.name] = time.Since(start)
	}
}

// fail remembers the first failure.
func (a *asking) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var t *trouble
	switch {
	case errors.Is(err, errSpent):
		a.spent = true
	case errors.As(err, &t) && (a.first == nil || !a.first.server && t.server):
		a.first = t
	}
}

// over tells whether asking more makes no sense.
func (a *asking) over(ctx context.Context) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ctx.Err() != nil || a.spent || a.first != nil && a.first.server
}

func (a *asking) due(asked time.Time) bool {
	return asked.IsZero() || a.now().Sub(asked) >= a.Refresh
}

func (a *asking) askFeeds(ctx context.Context) {
	feeds := slices.Clone(a.Feeds)
	if a.SystemsOfFeed != "" && !slices.Contains(feeds, a.SystemsOfFeed) {
		feeds = append(feeds, a.SystemsOfFeed)
	}
	for _, feed := range feeds {
		if a.over(ctx) {
			return
		}
		if a.due(a.server.feed(feed).asked) {
			a.askFeed(ctx, feed)
		}
	}
}

// askFeed counts the systems in a feed. Without list_tgp_limit=0 only the
// first 20 would be in it.
func (a *asking) askFeed(ctx context.Context, feed string) {
	limit, entries := 0, 0
	if feed == a.SystemsOfFeed {
		limit = int(a.MaxSystems) + 1
	}
	var names []string
	query := url.Values{"tg_format": {"atom"}, "list_tgp_limit": {"0"}, "list_tgp_order": {"-date_modified"}}
	err := a.get(ctx, "application/atom+xml", query, func(r io.Reader) (err error) {
		entries, names, err = parseFeed(r, limit)
		return err
	}, feedPaths[feed])
	a.fail(err)
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	f := a.server.feeds[feed]
	f.note(entries, err, a.now(), a.Refresh)
	a.server.feeds[feed] = f
	if limit > 0 && err == nil {
		a.server.listed = names
	}
}

func (s *server) feed(name string) fact[int] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feeds[name]
}

func (a *asking) askPools(ctx context.Context) {
	for _, pool := range a.Pools {
		a.server.mu.Lock()
		before := a.server.pools[pool]
		a.server.mu.Unlock()
		if !a.due(before.asked) || a.over(ctx) {
			continue
		}
		var names []string
		err := a.get(ctx, "application/json", nil, func(r io.Reader) (err error) {
			names, err = parsePool(r, int(a.MaxSystems)+1)
			return err
		}, "pools", url.PathEscape(pool), "/")
		a.fail(err)
		before.note(names, err, a.now(), a.Refresh)
		a.server.mu.Lock()
		a.server.pools[pool] = before
		a.server.mu.Unlock()
	}
}
