package rabbitmq

import (
	"maps"
	"slices"
	"strings"
)

// The alarms of a node.
const (
	memoryAlarm = iota
	diskAlarm
	filesAlarm
	alarms
)

// alarmNames are the alarms as values of the label "alarm".
func alarmNames() [alarms]string { return [alarms]string{"memory", "disk", "file_descriptors"} }

// seen is one node of the cluster, as told on either road.
type seen struct {
	name         string
	running      bool
	partitions   float64
	partitionsOf bool               // partitions are known
	values       map[string]float64 // by the name of its metric
	alarms       [alarms]bool
	known        [alarms]bool // which alarms are told of
}

// The metrics of a node by what RabbitMQ calls them on its metrics endpoint.
func nodeMetrics() map[string]string {
	return map[string]string{
		"process_resident_memory_bytes":    "probe_rabbitmq_node_memory_bytes",
		"resident_memory_limit_bytes":      "probe_rabbitmq_node_memory_limit_bytes",
		"disk_space_available_bytes":       "probe_rabbitmq_node_disk_free_bytes",
		"disk_space_available_limit_bytes": "probe_rabbitmq_node_disk_free_limit_bytes",
		"process_open_fds":                 "probe_rabbitmq_node_open_files",
		"process_max_fds":                  "probe_rabbitmq_node_open_files_limit",
		"erlang_uptime_seconds":            "probe_rabbitmq_node_uptime_seconds",
	}
}

// seen are the nodes of the cluster by name. What a node tells itself holds over
// what another tells of it.
func (s *sight) seen() []*seen {
	all := map[string]*seen{}
	if s.manager != nil {
		s.manager.seen(all)
	}
	for _, n := range s.nodes {
		if n.report == nil || n.report.node == "" {
			continue
		}
		at := all[n.report.node]
		if at == nil {
			if len(all) == 2*mostNodes {
				continue
			}
			at = &seen{name: n.report.node, values: map[string]float64{}}
			all[at.name] = at
		}
		at.running = true
		n.report.seen(at)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *seen) int { return strings.Compare(a.name, b.name) })
}

func (p *report) seen(at *seen) {
	for theirs, ours := range nodeMetrics() {
		if v, ok := p.gauges[theirs]; ok {
			at.values[ours] = v
		}
	}
	for i, name := range []string{"alarms_memory_used_watermark", "alarms_free_disk_space_watermark", "alarms_file_descriptor_limit"} {
		if v, ok := p.gauges[name]; ok {
			at.alarms[i], at.known[i] = at.alarms[i] || v > 0, true
		}
	}
}

// take adds what another answer of the same node tells.
func (p *report) take(o *report) {
	maps.Copy(p.gauges, o.gauges)
	p.broken += o.broken
}

// seen adds what the management API tells of the nodes.
func (m *manager) seen(all map[string]*seen) {
	for _, n := range m.nodes {
		at := &seen{name: n.Name, running: n.Running, partitions: float64(len(n.Partitions)), partitionsOf: n.Running, values: map[string]float64{}}
		all[n.Name] = at
		at.alarms[memoryAlarm], at.alarms[diskAlarm] = n.MemoryAlarm, n.DiskAlarm
		at.known = [alarms]bool{memoryAlarm: n.Running, diskAlarm: n.Running, filesAlarm: n.Running && m.alarmsTold}
		for name, v := range map[string]*float64{
			"probe_rabbitmq_node_memory_bytes": n.MemoryUsed, "probe_rabbitmq_node_memory_limit_bytes": n.MemoryLimit,
			"probe_rabbitmq_node_disk_free_bytes": n.DiskFree, "probe_rabbitmq_node_disk_free_limit_bytes": n.DiskFreeLimit,
			"probe_rabbitmq_node_open_files": n.OpenFiles, "probe_rabbitmq_node_open_files_limit": n.OpenFilesMost,
		} {
			if v != nil {
				at.values[name] = *v
			}
		}
		if n.Uptime != nil {
			at.values["probe_rabbitmq_node_uptime_seconds"] = *n.Uptime / 1000
		}
	}
	for _, a := range m.alarms {
		if at := all[a.Node]; at != nil {
			at.alarm(a.Resource)
		}
	}
}

// alarm takes one of the alarms that the health check lists.
func (n *seen) alarm(resource string) {
	switch resource {
	case "memory":
		n.alarms[memoryAlarm] = true
	case "disk":
		n.alarms[diskAlarm] = true
	case "file_descriptor_limit":
		n.alarms[filesAlarm] = true
	}
}
