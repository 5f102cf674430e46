package local

import (
	"context"
	"fmt"
	"path"

	"github.com/colliehq/collie/exporters/probe"
)

// filesystem is one module of the kind "filesystem".
type filesystem struct {
	local   *Local
	options filesystemOptions
	choose  chooser
}

// everything is the target that means all real mounts.
const everything = "*"

// probe looks at the mount at the target, or at all real ones.
func (f filesystem) probe(ctx context.Context, req probe.Request) probe.Result {
	t, err := f.local.mounts()
	if err != nil {
		return probe.Fail(probe.Metrics{}, probe.Protocol, err.Error())
	}
	var m probe.Metrics
	mounts, dropped, missing := f.mounts(t, req.Target)
	if req.Target == everything {
		m.Gauge("probe_filesystem_mounts", "File systems that were looked at.", float64(len(mounts)))
		m.Gauge("probe_filesystem_mounts_dropped", fmt.Sprintf(
			"File systems that were not looked at: those beyond %d, and lines of mountinfo that were not understood.", maxMounts), float64(dropped))
	} else {
		m.Gauge("probe_filesystem_mounted", "1 if a file system is mounted at the target.", probe.Bool(missing == nil), "mountpoint", label(path.Clean(req.Target)))
	}
	if missing != nil {
		return judged(m, []problem{*missing})
	}
	views := f.local.look(ctx, mounts)
	expose(&m, views)
	var problems []problem
	for _, v := range views {
		p := f.judge(v)
		if p != nil {
			problems = append(problems, *p)
		}
		req.Log.Debug("looked at a file system", "mountpoint", v.point, "fstype", v.fstype, "device", v.source,
			"size", human(v.bytes(v.blocks)), "avail", human(v.bytes(v.avail)), "options", v.options, "ok", p == nil)
	}
	return judged(m, problems)
}

// mounts returns what the target means, how many mounts were left out because
// there are too many, or why there is nothing to look at.
func (f filesystem) mounts(t *table, target string) ([]mount, int, *problem) {
	if target == everything {
		mounts, dropped := f.choose.all(t.mounts)
		if len(mounts) == 0 {
			return nil, dropped + t.odd, &problem{probe.Status, "no real file system is mounted; give a mount point as target, or change mount_points_exclude and fs_types_exclude"}
		}
		return mounts, dropped + t.odd, nil
	}
	if !path.IsAbs(target) {
		return nil, 0, &problem{probe.Protocol, fmt.Sprintf("the target %q is neither an absolute path nor *", target)}
	}
	at, ok, on := find(t.mounts, target)
	switch {
	case !ok:
		return nil, 0, &problem{probe.Status, fmt.Sprintf("nothing is mounted at %s; it lies on the file system at %s", target, on)}
	case at.fstype == "autofs":
		return nil, 0, &problem{probe.Status, fmt.Sprintf("nothing is mounted at %s: an automounter waits there for the first access, which a probe is not", target)}
	}
	return []mount{at}, 0, nil
}

// bytes turns units of the file system into bytes.
func (a answer) bytes(units uint64) float64 { return float64(a.unit) * float64(units) }

// expose writes the metrics of the mounts. Sizes stay as they were last read
// while a mount does not answer, so that no series ends when it matters most.
func expose(m *probe.Metrics, views []view) {
	const read = " As last read: see probe_filesystem_read_timestamp_seconds."
	for _, v := range distinct(views) {
		at := []string{"mountpoint", label(v.point)}
		m.Gauge("probe_filesystem_info", "What is mounted: the device or export, and the type.", 1,
			"mountpoint", label(v.point), "device", label(v.source), "fstype", label(v.fstype))
		if !v.at.IsZero() {
			m.Gauge("probe_filesystem_size_bytes", "Size of the file system."+read, v.bytes(v.blocks), at...)
			m.Gauge("probe_filesystem_free_bytes", "Space that is free, the part reserved for root included."+read, v.bytes(v.free), at...)
			m.Gauge("probe_filesystem_avail_bytes", "Space that is free for everyone."+read, v.bytes(v.avail), at...)
			m.Gauge("probe_filesystem_files", "Inodes of the file system; 0 if it makes them as needed."+read, float64(v.files), at...)
			m.Gauge("probe_filesystem_files_free", "Inodes that are free."+read, float64(v.filesFree), at...)
			m.Gauge("probe_filesystem_read_timestamp_seconds", "When the sizes were read, as Unix time.", seconds(v.at), at...)
		}
		m.Gauge("probe_filesystem_readonly", "1 if nothing can be written through this mount.", probe.Bool(v.readonly()), at...)
		m.Gauge("probe_filesystem_stuck", "1 if the mount hangs: a call for its sizes is out and has not returned.", probe.Bool(!v.stuck.IsZero()), at...)
		m.Gauge("probe_filesystem_stuck_since_timestamp_seconds", "Since when the mount hangs, as Unix time; 0 if it does not.", seconds(v.stuck), at...)
	}
}

// distinct leaves out mounts whose labels are the same: those of which only the
// odd or overlong part of the name differs.
func distinct(views []view) []view {
	seen := make(map[string]bool, len(views))
	var kept []view
	for _, v := range views {
		if name := label(v.point); !seen[name] {
			seen[name] = true
			kept = append(kept, v)
		}
	}
	return kept
}
