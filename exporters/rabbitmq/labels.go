package rabbitmq

import (
	"bytes"
	"strconv"
	"strings"
)

// gauge keeps what a node says of itself.
func (p *report) gauge(name []byte, value float64) {
	short, ok := bytes.CutPrefix(name, []byte("rabbitmq_"))
	if !ok {
		return
	}
	short = bytes.TrimPrefix(short, []byte("detailed_"))
	switch string(short) {
	case "process_resident_memory_bytes", "resident_memory_limit_bytes", "disk_space_available_bytes", "disk_space_available_limit_bytes",
		"process_open_fds", "process_max_fds", "erlang_uptime_seconds",
		"alarms_memory_used_watermark", "alarms_free_disk_space_watermark", "alarms_file_descriptor_limit":
		p.gauges[string(short)] = value
	}
}

// identify reads who the node is.
func (p *report) identify(name, labels []byte) {
	var into map[string]*string
	switch string(name) {
	case "rabbitmq_identity_info":
		into = map[string]*string{"rabbitmq_node": &p.node, "rabbitmq_cluster": &p.cluster}
	case "rabbitmq_build_info":
		into = map[string]*string{"rabbitmq_version": &p.version, "erlang_version": &p.erlang}
	default:
		return
	}
	if len(labels) > 4*maxName {
		return
	}
	for _, l := range strictLabels(string(labels)) {
		if field := into[l[0]]; field != nil && len(l[1]) <= maxName {
			*field = strings.ToValidUTF8(l[1], "�")
		}
	}
}

// names are virtual host and queue of a row. Versions before 3.11 never escape,
// those from 3.13 on always do; between them the labels are taken as escaped if
// they can be (https://github.com/rabbitmq/rabbitmq-server/pull/9656).
func (p *report) names(labels string) (vhost, queue string, ok bool) {
	if !p.raw() {
		for _, l := range strictLabels(labels) {
			switch l[0] {
			case "vhost":
				vhost, ok = l[1], true
			case "queue":
				queue = l[1]
			}
		}
		if ok && queue != "" {
			return vhost, queue, len(vhost) <= maxName && len(queue) <= maxName
		}
	}
	inside, ok := strings.CutPrefix(labels, `vhost="`)
	if !ok {
		return "", "", false
	}
	inside = strings.TrimSuffix(strings.TrimSuffix(inside, ","), `"`)
	vhost, queue, ok = strings.Cut(inside, `",queue="`)
	return strings.ToValidUTF8(vhost, "�"), strings.ToValidUTF8(queue, "�"), ok && queue != "" && len(vhost) <= maxName && len(queue) <= maxName
}

// raw says whether the node's version is one that never escapes.
func (p *report) raw() bool {
	major, rest, _ := strings.Cut(p.version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a < 3 || a == 3 && b < 11)
}

// strictLabels reads labels as the text format asks; none if they are not so.
func strictLabels(s string) (all [][2]string) {
	for s != "" {
		name, rest, ok := strings.Cut(s, `="`)
		if !ok || strings.ContainsAny(name, `",\`) {
			return nil
		}
		value, after, ok := strictValue(rest)
		if !ok {
			return nil
		}
		all = append(all, [2]string{strings.TrimSpace(name), value})
		if after != "" && after[0] != ',' {
			return nil
		}
		s = strings.TrimLeft(after, ", ")
	}
	return all
}

// strictValue reads up to the closing quote.
func strictValue(s string) (value, rest string, ok bool) {
	end := strings.IndexAny(s, `"\`)
	if end >= 0 && s[end] == '"' { // nothing is escaped, as nearly always
		return s[:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c != '\\':
			b.WriteByte(c)
		case i+1 == len(s):
			return "", "", false
		default:
			i++
			switch s[i] {
			case '\\', '"':
				b.WriteByte(s[i])
			case 'n':
				b.WriteByte('\n')
			default:
				return "", "", false
			}
		}
	}
	return "", "", false
}
