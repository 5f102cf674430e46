package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// manager is the management API of one node of the cluster, and what it told.
type manager struct {
	at endpoint

	overview   overview
	nodes      []node
	alarms     []alarm
	alarmsTold bool // the list of alarms was read
	checks     []check
}

// overview is what GET /api/overview tells that is of use here.
type overview struct {
	Node      string `json:"node"`
	Listeners []struct {
		Node     string `json:"node"`
		Protocol string `json:"protocol"`
		Port     int    `json:"port"`
	} `json:"listeners"`
	Totals struct {
		Queues *int `json:"queues"` // also those that the user may not see
	} `json:"object_totals"`
}

// node is one element of GET /api/nodes.
type node struct {
	Name       string   `json:"name"`
	Running    bool     `json:"running"`
	Partitions []string `json:"partitions"`

	MemoryUsed    *float64 `json:"mem_used"`
	MemoryLimit   *float64 `json:"mem_limit"`
	MemoryAlarm   bool     `json:"mem_alarm"`
	DiskFree      *float64 `json:"disk_free"`
	DiskFreeLimit *float64 `json:"disk_free_limit"`
	DiskAlarm     bool     `json:"disk_free_alarm"`
	OpenFiles     *float64 `json:"fd_used"`
	OpenFilesMost *float64 `json:"fd_total"`
	Uptime        *float64 `json:"uptime"` // milliseconds
}

// alarm is one of those that GET /api/health/checks/alarms tells of.
type alarm struct {
	Node     string `json:"node"`
	Resource string `json:"resource"` // memory, disk, file_descriptor_limit
}

// check is a health check and how it went.
type check struct {
	name     string
	answered bool // not so if this version of RabbitMQ does not have it
	passed   bool
}

// findManager asks one endpoint after the other until one answers. What is
// wrong with the first of them is what is told if none does.
func (c *client) findManager(ctx context.Context, candidates []endpoint) (*manager, error) {
	var first error
	for _, e := range candidates {
		m := &manager{at: e}
		err := c.askOverview(ctx, m)
		if err == nil {
			return m, nil
		}
		if first == nil {
			first = fmt.Errorf("management %s: %w", e.label(), err)
		}
		if f := faultOf(err); f.reason == probe.Auth || ctx.Err() != nil {
			break // the others have the same users
		}
	}
	return nil, first
}

func (c *client) askOverview(ctx context.Context, m *manager) error {
	return c.decode(ctx, m.at, "/api/overview", url.Values{"columns": {"node,listeners,object_totals"}}, &m.overview)
}

// decode asks for a small JSON document.
func (c *client) decode(ctx context.Context, e endpoint, path string, query url.Values, into any) error {
	a, err := c.get(ctx, managementRoad, e, path, query)
	if err != nil {
		return err
	}
	defer a.body.Close() //nolint:errcheck // it was read
	if err := a.judge(); err != nil {
		return err
	}
	return a.json(into)
}

func (a *answer) json(into any) error {
	limited := &io.LimitedReader{R: a.body, N: maxSmall}
	err := json.NewDecoder(limited).Decode(into)
	switch {
	case err == nil:
		return nil
	case limited.N == 0:
		return faultf(probe.Quota, "the answer has more than %d bytes", maxSmall)
	}
	return jsonFault(err)
}

// jsonFault tells a broken document from a broken connection.
func jsonFault(err error) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &wrong) {
		return faultf(probe.Protocol, "the answer is not RabbitMQ's JSON: %s", err)
	}
	return faultOf(err)
}

// survey asks for nodes, alarms and the health checks, a few at a time.
func (c *client) survey(ctx context.Context, m *manager) error {
	var nodes, alarms error
	jobs := []func(){
		func() { nodes = c.guarded(func() error { return c.askNodes(ctx, m) }) },
		func() { alarms = c.guarded(func() error { return c.askAlarms(ctx, m) }) },
	}
	m.checks = c.o.wantedChecks()
	for i := range m.checks {
		jobs = append(jobs, func() { _ = c.guarded(func() error { return c.askCheck(ctx, m.at, &m.checks[i]) }) })
	}
	const atOnce = 4
	var wg sync.WaitGroup
	for worker := range atOnce {
		wg.Go(func() {
			for i := worker; i < len(jobs); i += atOnce {
				jobs[i]()
			}
		})
	}
	wg.Wait()
	return errors.Join(nodes, alarms)
}

const nodeColumns = "name,running,partitions,mem_used,mem_limit,mem_alarm,disk_free,disk_free_limit,disk_free_alarm,fd_used,fd_total,uptime"

func (c *client) askNodes(ctx context.Context, m *manager) error {
	var nodes []node
	if err := c.decode(ctx, m.at, "/api/nodes", url.Values{"columns": {nodeColumns}}, &nodes); err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n node) bool { return n.Name == "" || len(n.Name) > maxName })
	if len(nodes) > mostNodes {
		return faultf(probe.Quota, "the cluster has %d nodes, more than %d", len(nodes), mostNodes)
	}
	m.nodes = nodes
	return nil
}

// askAlarms asks which alarms are in effect anywhere in the cluster: 503 with a
// list says which.
func (c *client) askAlarms(ctx context.Context, m *manager) error {
	a, err := c.get(ctx, managementRoad, m.at, "/api/health/checks/alarms", nil)
	if err != nil {
		return err
	}
	defer a.body.Close() //nolint:errcheck // it was read
	if a.status != http.StatusServiceUnavailable {
		err := a.judge()
		m.alarmsTold = err == nil
		return err
	}
	var told struct {
		Alarms []alarm `json:"alarms"`
	}
	if err := a.json(&told); err != nil {
		return err
	}
	m.alarms, m.alarmsTold = told.Alarms, true
	return nil
}

// wantedChecks are those that the options ask for.
func (o *options) wantedChecks() (all []check) {
	for _, name := range o.Checks {
		all = append(all, check{name: name})
	}
	for _, port := range o.Listeners {
		all = append(all, check{name: fmt.Sprintf("port-listener/%d", port)})
	}
	if o.CertificateWithin > 0 {
		all = append(all, check{name: "certificate-expiration"})
	}
	return all
}

func (o *options) checkPath(name string) string {
	const root = "/api/health/checks/"
	if name == "certificate-expiration" {
		days := max(1, int(o.CertificateWithin/(24*time.Hour)))
		return fmt.Sprintf("%scertificate-expiration/%d/days", root, days)
	}
	if path := knownChecks()[name]; path != "" {
		return root + path
	}
	return root + name
}

// askCheck asks one health check: 200 is passed, 503 failed, and for a port
// nobody listens on 404 with a JSON that says so. Any other answer, such as
// that of an older version that does not know the check, is none.
func (c *client) askCheck(ctx context.Context, e endpoint, check *check) error {
	a, err := c.get(ctx, managementRoad, e, c.o.checkPath(check.name), nil)
	if err != nil {
		return err
	}
	defer a.body.Close() //nolint:errcheck // it was read
	check.passed = a.status == http.StatusOK
	check.answered = check.passed || a.status == http.StatusServiceUnavailable
	switch {
	case !check.answered:
		c.req.Log.Debug("no such health check in this version", "check", check.name, "status", a.status)
	case !check.passed:
		c.req.Log.Debug("health check failed", "check", check.name, "body", a.words())
	}
	return nil
}

// listedQueue is one element of GET /api/queues. Counts are null for a queue whose
// node is down.
type listedQueue struct {
	VHost     string   `json:"vhost"`
	Name      string   `json:"name"`
	Messages  *float64 `json:"messages"`
	Ready     *float64 `json:"messages_ready"`
	Unacked   *float64 `json:"messages_unacknowledged"`
	Consumers *float64 `json:"consumers"`
}

// queues reads the queues of the whole cluster, or of the virtual hosts that
// are looked at.
func (c *client) queues(ctx context.Context, m *manager, t *table) error {
	if len(c.o.VHosts) == 0 {
		return c.allQueues(ctx, m, t)
	}
	for _, vhost := range c.o.VHosts {
		if err := c.list(ctx, m, "/api/queues/"+url.PathEscape(vhost), t.addListed); err != nil {
			return fmt.Errorf("virtual host %s: %w", vhost, err)
		}
	}
	return nil
}

// allQueues holds the list against the number of queues that the node knows of:
// without a word it leaves out the virtual hosts on which the user has no
// permission. Queues come and go, so the number is asked for before and after.
func (c *client) allQueues(ctx context.Context, m *manager, t *table) error {
	listed, before := 0, m.overview.Totals.Queues
	err := c.list(ctx, m, "/api/queues", func(q *listedQueue) error {
		listed++
		return t.addListed(q)
	})
	if err != nil || before == nil || listed >= *before {
		return err
	}
	if err := c.askOverview(ctx, m); err != nil {
		return err
	}
	if after := m.overview.Totals.Queues; after != nil && listed < min(*before, *after) {
		return faultf(probe.Auth, "the user may see %d of %d queues; on each virtual host it needs a permission, which may be empty: "+
			"rabbitmqctl set_permissions -p VHOST %s '^$' '^$' '^$'", listed, *after, c.o.Username)
	}
	return nil
}

// list reads one list of queues. The parameters leave out the rates, which cost
// a broker with many queues seconds; with them go the counts of consumers.
func (c *client) list(ctx context.Context, m *manager, path string, add func(*listedQueue) error) error {
	query := url.Values{
		"disable_stats": {"true"}, "enable_queue_totals": {"true"},
		"columns": {"vhost,name,messages,messages_ready,messages_unacknowledged,consumers"},
	}
	a, err := c.get(ctx, managementRoad, m.at, path, query)
	if err != nil {
		return err
	}
	defer a.body.Close() //nolint:errcheck // it was read
	if err := a.judge(); err != nil {
		return err
	}
	return readQueues(a.body, add)
}

// readQueues reads a list of queues one by one.
func readQueues(body io.Reader, add func(*listedQueue) error) error {
	d := json.NewDecoder(body)
	if start, err := d.Token(); err != nil {
		return jsonFault(err)
	} else if start != json.Delim('[') {
		return faultf(probe.Protocol, "the answer is not a list of queues")
	}
	for d.More() {
		var q listedQueue
		if err := d.Decode(&q); err != nil {
			return jsonFault(err)
		}
		if err := add(&q); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return jsonFault(err)
	}
	return nil
}

// metricsEndpoints are where the running nodes show their metrics, as the
// overview tells of their listeners. The node that told of them is the target,
// if that is the same host: then it is asked where the user says.
func (m *manager) metricsEndpoints(target endpoint) (all []endpoint) {
	for _, l := range m.overview.Listeners {
		scheme, plugin, ok := strings.Cut(l.Protocol, "/")
		if !ok || plugin != "prometheus" || scheme != "http" && scheme != "https" || len(l.Node) > maxName {
			continue
		}
		e, ok := m.at.peer(l.Node, scheme, l.Port)
		same := func(o endpoint) bool { return o.name == e.name }
		if ok && !slices.ContainsFunc(all, same) && len(all) < mostNodes {
			all = append(all, e)
		}
	}
	self := slices.IndexFunc(all, func(e endpoint) bool { return e.name == m.overview.Node })
	listed := slices.ContainsFunc(all, func(e endpoint) bool { return e.label() == target.label() })
	if self >= 0 && !listed && m.at.base.Hostname() == target.base.Hostname() {
		all[self].base = target.base
	}
	return all
}
