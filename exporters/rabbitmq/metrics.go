package rabbitmq

import (
	"strings"

	"github.com/colliehq/collie/exporters/probe"
)

// fail is the result of a probe that could not begin.
func (s *sight) fail(f *fault) probe.Result {
	return probe.Fail(s.metrics(), f.reason, f.cause)
}

// result is what the probe saw.
func (s *sight) result() probe.Result {
	m := s.metrics()
	f := s.verdict()
	if f == nil {
		return probe.Result{Success: true, Metrics: m}
	}
	r := probe.Fail(m, f.reason, f.cause)
	r.Evidence = s.evidence()
	return r
}

// evidence is what each endpoint that failed answered.
func (s *sight) evidence() string {
	var b strings.Builder
	for _, n := range s.nodes {
		if n.fault != nil {
			b.WriteString(n.base.String() + ": " + string(n.fault.reason) + ": " + n.fault.cause + "\n")
		}
	}
	if m := s.unmanaged(); m != nil {
		b.WriteString(string(m.reason) + ": " + m.cause + "\n")
	}
	return b.String()
}

func (s *sight) metrics() probe.Metrics {
	var m probe.Metrics
	s.cost(&m)
	s.roads(&m)
	if len(s.table.sources) > 0 {
		s.totals(&m)
		s.shown(&m)
	}
	s.perNode(&m)
	s.checks(&m)
	return m
}

func (s *sight) cost(m *probe.Metrics) {
	for _, phase := range []string{"metrics", "management", "merge"} {
		m.Gauge("probe_rabbitmq_duration_seconds", "How long each part of the probe took; metrics and management go on at the same time.",
			s.took[phase].Seconds(), "phase", phase)
	}
	requests, bytes := 0.0, 0.0
	if s.client != nil {
		requests, bytes = float64(s.client.requests.Load()), float64(s.client.bytes.Load())
	}
	m.Gauge("probe_rabbitmq_requests", "How many requests the probe made.", requests)
	m.Gauge("probe_rabbitmq_received_bytes", "How much was read of the answers.", bytes)
	m.Gauge("probe_rabbitmq_malformed", "Lines and entries of the answers that could not be understood and were passed over.", float64(s.table.broken))
}

// roads tells which nodes and which road answered.
func (s *sight) roads(m *probe.Metrics) {
	for _, road := range []source{fromMetrics, fromManagement} {
		m.Gauge("probe_rabbitmq_source", "1 if counts came on this road: the nodes' metrics, or the management API.",
			probe.Bool(s.table.sources[road]), "source", string(road))
	}
	all, covered := s.known()
	m.Gauge("probe_rabbitmq_nodes", "How many nodes are known of.", float64(all))
	m.Gauge("probe_rabbitmq_nodes_covered", "How many of them were asked, or told of, so that their queues are counted.", float64(covered))
	if s.o.managed() {
		m.Gauge("probe_rabbitmq_management_up", "1 if the management API answered all that it was asked; health checks do not count.",
			probe.Bool(s.manager != nil && s.unmanaged() == nil))
	}
	for _, n := range s.nodes {
		m.Gauge("probe_rabbitmq_endpoint_up", "1 if the metrics endpoint of a node answered.", probe.Bool(n.fault == nil), "endpoint", n.label())
		m.Gauge("probe_rabbitmq_endpoint_duration_seconds", "How long the metrics endpoint of a node took.", n.took.Seconds(), "endpoint", n.label())
		for _, reason := range probe.Reasons() {
			m.Gauge("probe_rabbitmq_endpoint_failure", "1 for the reason for which the metrics endpoint of a node failed.",
				probe.Bool(n.fault != nil && n.fault.reason == reason), "endpoint", n.label(), "reason", string(reason))
		}
	}
}

// total is what is told in sum, and for each queue.
type total struct{ sum, queue, help string }

func columns() [counts]total {
	return [counts]total{
		ready:          {"probe_rabbitmq_messages_ready", "probe_rabbitmq_queue_messages_ready", "Messages that wait to be handed out"},
		unacknowledged: {"probe_rabbitmq_messages_unacknowledged", "probe_rabbitmq_queue_messages_unacknowledged", "Messages that were handed out and not acknowledged yet"},
		messages:       {"probe_rabbitmq_messages", "probe_rabbitmq_queue_messages", "Messages, ready and unacknowledged"},
		consumers:      {"probe_rabbitmq_consumers", "probe_rabbitmq_queue_consumers", "Consumers"},
	}
}

func (s *sight) totals(m *probe.Metrics) {
	sums, told := s.table.totals()
	for i, c := range columns() {
		if told[i] > 0 || len(s.table.queues) == 0 {
			m.Gauge(c.sum, c.help+", of all queues whether they have series of their own or not.", sums[i])
		}
	}
}

// shown are the series of single queues.
func (s *sight) shown(m *probe.Metrics) {
	shown, chosen := s.table.largest()
	m.Gauge("probe_rabbitmq_queues", "How many queues there are, in the virtual hosts that are looked at.", float64(len(s.table.queues)))
	m.Gauge("probe_rabbitmq_queues_excluded", "How many of them have no series because include and exclude leave them out.", float64(len(s.table.queues)-chosen))
	m.Gauge("probe_rabbitmq_queues_dropped", "How many of them have no series because there are more than max_queues; those with the most messages have some.",
		float64(chosen-len(shown)))
	for i, c := range columns() {
		for _, q := range shown {
			if q.has[i] {
				m.Gauge(c.queue, c.help+", of one queue.", q.count[i], "vhost", q.vhost, "queue", q.name)
			}
		}
	}
}

func (s *sight) perNode(m *probe.Metrics) {
	help := nodeHelp()
	for _, n := range s.seen() {
		m.Gauge("probe_rabbitmq_node_running", "1 if the node answers or the others of the cluster say that it runs.", probe.Bool(n.running), "node", n.name)
		if n.partitionsOf {
			m.Gauge("probe_rabbitmq_node_partitions", "From how many other nodes this one says that it was cut off; management only.", n.partitions, "node", n.name)
		}
		for _, h := range help {
			if v, ok := n.values[h[0]]; ok {
				m.Gauge(h[0], h[1], v, "node", n.name)
			}
		}
		for i, name := range alarmNames() {
			if n.known[i] {
				m.Gauge("probe_rabbitmq_node_alarm", "1 if the alarm is in effect: all publishers of the cluster are blocked (memory, disk), or new connections refused (file_descriptors).",
					probe.Bool(n.alarms[i]), "node", n.name, "alarm", name)
			}
		}
	}
	for _, n := range s.nodes {
		if p := n.report; p != nil {
			m.Gauge("probe_rabbitmq_node_info", "Who answers at an endpoint.", 1,
				"endpoint", n.label(), "node", p.node, "cluster", p.cluster, "version", p.version, "erlang", p.erlang)
		}
	}
}

func nodeHelp() [][2]string {
	return [][2]string{
		{"probe_rabbitmq_node_memory_bytes", "Memory that the node uses."},
		{"probe_rabbitmq_node_memory_limit_bytes", "Memory use at which the memory alarm begins."},
		{"probe_rabbitmq_node_disk_free_bytes", "Free disk space of the node."},
		{"probe_rabbitmq_node_disk_free_limit_bytes", "Free disk space at which the disk alarm begins."},
		{"probe_rabbitmq_node_open_files", "File descriptors in use."},
		{"probe_rabbitmq_node_open_files_limit", "How many file descriptors the node may use."},
		{"probe_rabbitmq_node_uptime_seconds", "For how long the node has been running."},
	}
}

func (s *sight) checks(m *probe.Metrics) {
	if !s.o.managed() {
		return
	}
	wanted, silent := s.o.wantedChecks(), 0
	if s.manager != nil && s.manager.checks != nil {
		wanted = s.manager.checks
	}
	for _, c := range wanted {
		if !c.answered {
			silent++
			continue
		}
		m.Gauge("probe_rabbitmq_check_passed", "1 if the health check passed, 0 if it failed, as the node with the management API that was asked says.",
			probe.Bool(c.passed), "check", c.name)
	}
	m.Gauge("probe_rabbitmq_checks_unanswered", "How many health checks got no answer: this version of RabbitMQ does not have them, or it was not reached.", float64(silent))
}
