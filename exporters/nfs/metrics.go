package nfs

import (
	"slices"
	"strings"
	"unicode"

	"github.com/colliehq/collie/exporters/probe"
)

// expose writes what was learned as metrics. How many series there are depends
// on the module alone, but for two things: sizes, which are there when they were
// read, and the exports, up to the module's budget.
func expose(f *findings, o options, verdict fault) (m probe.Metrics) {
	exposeServices(&m, f)
	exposeSizes(&m, f, o)
	if o.MaxExports > 0 && f.services[mountd].asked {
		exposeExports(&m, f.exports, o.MaxExports)
	}
	for _, s := range statuses() {
		m.Gauge("probe_nfs_error", "1 for the finer cause for which the probe failed, by the names of RFC 1813; 0 for all others.",
			probe.Bool(verdict.status == s), "status", s)
	}
	for p := range phases {
		m.Gauge("probe_nfs_duration_seconds", "How long each phase took; services are asked at the same time.", f.took[p].Seconds(), "phase", p.String())
	}
	m.Gauge("probe_ip_protocol", "Which IP protocol the probe used: 4 or 6; 0 if the name did not resolve.", ipVersion(f))
	m.Gauge("probe_nfs_privileged_port", "1 if the probe connected from a port below 1024.", probe.Bool(f.usedPrivileged))
	m.Gauge("probe_nfs_leftovers", "1 if the server may keep something of this probe for a while: a mount entry or a client id that could not be put away.", probe.Bool(f.leftovers))
	m.Gauge("probe_nfs_connections", "TCP connections that the probe made.", float64(f.conns))
	m.Gauge("probe_nfs_requests", "RPC calls that the probe made.", float64(f.cost.Requests))
	m.Gauge("probe_nfs_sent_bytes", "Bytes that the probe sent.", float64(f.cost.Sent))
	m.Gauge("probe_nfs_received_bytes", "Bytes that the probe received.", float64(f.cost.Received))
	return m
}

func ipVersion(f *findings) float64 {
	switch {
	case !f.addr.IsValid():
		return 0
	case f.addr.Is4():
		return 4
	default:
		return 6
	}
}

func exposeServices(m *probe.Metrics, f *findings) {
	for id, s := range f.services {
		if !s.asked {
			continue
		}
		name := serviceID(id).String()
		m.Gauge("probe_nfs_connected", "1 if a TCP connection to the service was made. A stopped server accepts connections, too.", probe.Bool(s.connected), "service", name)
		m.Gauge("probe_nfs_answered", "1 if the service answered procedure NULL (rpcbind: told its list), which only a living one does.", probe.Bool(s.answered), "service", name)
		m.Gauge("probe_nfs_port", "The port at which the service was asked; 0 if it is not known.", float64(s.port), "service", name)
	}
	if f.services[nfs4].asked {
		for minor, spoken := range f.minors {
			m.Gauge("probe_nfs_minor_version", "1 if the server speaks this minor version of NFS 4.", probe.Bool(spoken), "minor", string(rune('0'+minor)))
		}
	}
	if f.services[rpcbind].asked {
		for _, r := range []struct {
			program uint32
			name    string
			version uint32
			digit   string
		}{{programMount, "mount", 3, "3"}, {programNFS, "nfs", 3, "3"}, {programNFS, "nfs", 4, "4"}} {
			m.Gauge("probe_nfs_rpcbind_port", "The port that rpcbind names for the program over TCP; 0 if it does not know it.",
				float64(f.portOf(r.program, r.version)), "program", r.name, "version", r.digit)
		}
	}
}

func exposeSizes(m *probe.Metrics, f *findings, o options) {
	for _, v := range allVersions() {
		if !o.Versions.asks(v) {
			continue
		}
		r := f.sizes[v]
		at := []string{"version", string(v)}
		m.Gauge("probe_nfs_size_read", "1 if the size of the path was read by this version.", probe.Bool(r.done), at...)
		if !r.done {
			continue
		}
		m.Gauge("probe_nfs_size_bytes", "Size of the file system that holds the path.", float64(r.size.total), at...)
		m.Gauge("probe_nfs_free_bytes", "Space that is free, the part reserved for root included.", float64(r.size.free), at...)
		m.Gauge("probe_nfs_avail_bytes", "Space that is free for the user as whom the probe asks.", float64(r.size.avail), at...)
		m.Gauge("probe_nfs_files", "Inodes of the file system; 0 if it does not count them.", float64(r.size.files), at...)
		m.Gauge("probe_nfs_files_free", "Inodes that are free.", float64(r.size.filesFree), at...)
		m.Gauge("probe_nfs_files_avail", "Inodes that are free for the user as whom the probe asks.", float64(r.size.filesAvail), at...)
	}
}

// exposeExports tells the first exports in the order of their names, so that
// the same ones are told each time.
func exposeExports(m *probe.Metrics, list exportList, budget int) {
	names := make([]string, 0, len(list.paths))
	for _, path := range list.paths {
		names = append(names, label(path))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	shown := names[:min(len(names), budget)]
	m.Gauge("probe_nfs_exports_listed", "1 if mountd told what is exported.", probe.Bool(list.known))
	m.Gauge("probe_nfs_exports", "How many paths are exported.", float64(len(list.paths)+list.more))
	m.Gauge("probe_nfs_exports_dropped", "Exports without a series of their own, because of max_exports.", float64(len(list.paths)+list.more-len(shown)))
	for _, name := range shown {
		m.Gauge("probe_nfs_export_info", "A path that is exported.", 1, "export", name)
	}
}

const maxLabel = 128

// label makes a path of the server's fit to be a label: valid, printable and of
// bounded length.
func label(path string) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(path, "?"))
	if len(clean) <= maxLabel {
		return clean
	}
	return strings.ToValidUTF8(clean[:maxLabel-3], "") + "..."
}
