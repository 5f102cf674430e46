package rabbitmq

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// sight is what one probe saw of a cluster.
type sight struct {
	o      *options
	client *client
	target endpoint

	nodes   []*asked // on their metrics endpoints
	manager *manager // nil if the management API was not asked, or did not answer
	managed error    // what went wrong with it
	queues  error    // what went wrong with its list of queues; nil too if it was not needed
	listed  bool     // that list was read
	table   *table

	mu   sync.Mutex
	took map[string]time.Duration // by phase
}

// asked is a metrics endpoint and what came of asking it.
type asked struct {
	endpoint
	report *report // nil without an answer
	fault  *fault
	took   time.Duration
}

// look makes one probe.
func look(ctx context.Context, o *options, req probe.Request) probe.Result {
	target, err := parseEndpoint(req.Target, metricsRoad)
	if err != nil {
		return newSight(o, endpoint{}, nil).fail(faultf(probe.Protocol, "the target %s", err))
	}
	c, err := newClient(o, req)
	if err != nil {
		return newSight(o, target, nil).fail(faultf(probe.Auth, "%s", err))
	}
	defer c.close()
	s := newSight(o, target, c)
	s.see(ctx)
	return s.result()
}

func newSight(o *options, target endpoint, c *client) *sight {
	return &sight{o: o, target: target, client: c, table: newTable(o), took: map[string]time.Duration{}}
}

// see asks everyone. What is missing afterwards did not answer.
func (s *sight) see(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx) // what is still being asked when we have what we want
	defer cancel()
	if s.o.discovering() || s.o.Source == fromManagement {
		s.meet(ctx)
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.survey(ctx) })
	if s.o.Source != fromManagement {
		s.askNodes(ctx)
	}
	wg.Wait()
	s.merge()
	if s.managed != nil || !s.o.managed() {
		s.askAlarms(ctx)
	}
	if s.wantsList() {
		s.list(ctx)
	}
}

func (s *sight) timed(phase string, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[phase] += time.Since(start)
}

// meet finds a node whose management API answers. It may take a part of the
// time only: the metrics answer without it.
func (s *sight) meet(ctx context.Context) {
	if s.manager != nil || s.managed != nil || !s.o.managed() {
		return
	}
	if s.o.Source != fromManagement {
		var cancel context.CancelFunc
		ctx, cancel = part(ctx, 0.3)
		defer cancel()
	}
	start := time.Now()
	s.managed = s.client.guarded(func() (err error) {
		s.manager, err = s.client.findManager(ctx, s.managers())
		return err
	})
	s.timed("management", start)
}

// part is ctx with a part of the time that it has left.
func part(ctx context.Context, share float64) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(share*float64(time.Until(deadline))))
}

// managers are where the management API may be.
func (s *sight) managers() []endpoint {
	if len(s.o.management) > 0 {
		return s.o.management
	}
	all := []endpoint{s.target.on(managementRoad)}
	for _, n := range s.o.nodes {
		all = append(all, n.on(managementRoad))
	}
	return all
}

// survey asks the management API for nodes, alarms and checks.
func (s *sight) survey(ctx context.Context) {
	if s.meet(ctx); s.manager == nil {
		return
	}
	start := time.Now()
	if err := s.client.survey(ctx, s.manager); err != nil {
		s.managed = fmt.Errorf("management %s: %w", s.manager.at.label(), err)
	}
	s.timed("management", start)
}

// endpoints are those of all nodes that are known of, the target first.
func (s *sight) endpoints() []endpoint {
	var all []endpoint
	if s.o.discovering() && s.manager != nil { // without discovering it is being asked right now
		all = s.manager.metricsEndpoints(s.target)
	}
	if len(all) == 0 {
		all = []endpoint{s.target}
	}
	for _, n := range s.o.nodes {
		if !slices.ContainsFunc(all, func(e endpoint) bool { return e.label() == n.label() }) {
			all = append(all, n)
		}
	}
	return all[:min(len(all), mostNodes)]
}

// askNodes asks all nodes for their queues at once. If the management API can
// still be asked after them, they get a part of the time.
func (s *sight) askNodes(ctx context.Context) {
	for _, e := range s.endpoints() {
		s.nodes = append(s.nodes, &asked{endpoint: e})
	}
	if s.o.Source == fromAuto && s.o.managed() {
		var cancel context.CancelFunc
		ctx, cancel = part(ctx, 0.6)
		defer cancel()
	}
	start := time.Now()
	s.each(func(n *asked) {
		n.report, n.fault = s.askNode(ctx, n.endpoint, "/metrics/detailed", s.families())
		n.took = time.Since(start)
	})
	s.timed("metrics", start)
}

// each calls f for every node, a few at a time.
func (s *sight) each(f func(*asked)) {
	const atOnce = 8
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, n := range s.nodes {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f(n)
		})
	}
	wg.Wait()
}

func (s *sight) families() url.Values {
	v := url.Values{"family": {"queue_coarse_metrics", "queue_consumer_count", "node_coarse_metrics", "node_metrics"}}
	if len(s.o.VHosts) > 0 {
		v["vhost"] = s.o.VHosts
	}
	return v
}

// askNode asks one node. It gives a report or a fault: half a list of queues
// is none.
func (s *sight) askNode(ctx context.Context, e endpoint, path string, query url.Values) (p *report, f *fault) {
	err := s.client.guarded(func() error {
		a, err := s.client.get(ctx, metricsRoad, e, path, query)
		if err != nil {
			return err
		}
		defer a.body.Close() //nolint:errcheck // it was read
		if err := a.judge(); err != nil {
			return err
		}
		p, err = parseReport(a.body)
		return err
	})
	if err != nil {
		return nil, faultOf(err)
	}
	return p, nil
}

// askAlarms reads the alarms of each node from its other metrics, which is only
// done without the management API: it makes the node add up all its queues.
func (s *sight) askAlarms(ctx context.Context) {
	start := time.Now()
	s.each(func(n *asked) {
		if n.report == nil {
			return
		}
		if all, f := s.askNode(ctx, n.endpoint, "/metrics", nil); f == nil {
			n.report.take(all)
		}
	})
	s.timed("metrics", start)
}

// merge brings together what the nodes told of their queues.
func (s *sight) merge() {
	start := time.Now()
	defer s.timed("merge", start)
	for _, n := range s.nodes {
		if n.report == nil {
			continue
		}
		if err := s.client.guarded(func() error { return s.table.addReport(n.report) }); err != nil {
			n.fault = faultOf(err)
		}
	}
}

// wantsList says whether the list of the management API is needed.
func (s *sight) wantsList() bool {
	if s.manager == nil || s.o.Source == fromMetrics {
		return false
	}
	return s.o.Source == fromManagement || len(s.gaps()) > 0
}

func (s *sight) list(ctx context.Context) {
	start := time.Now()
	if err := s.client.guarded(func() error { return s.client.queues(ctx, s.manager, s.table) }); err != nil {
		s.queues = fmt.Errorf("management %s: queues: %w", s.manager.at.label(), err)
	}
	s.listed = s.queues == nil
	s.timed("management", start)
}
