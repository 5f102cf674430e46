package local

import (
	"path"
	"regexp"
)

// maxMounts bounds how many mounts one probe of "*" tells about.
const maxMounts = 64

// What "*" leaves out, unless the options say otherwise. The first and most of
// the second are node_exporter's; read-only images, which are always full, and
// what lives in memory are added.
const (
	defaultPointsExclude = `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
	defaultTypesExclude  = `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|cramfs|debugfs|devpts|devtmpfs|efivarfs|erofs|` +
		`fuse\.(gvfsd-fuse|lxcfs|portal|snapfuse|squashfuse)|fusectl|hugetlbfs|iso9660|mqueue|nfsd|nsfs|overlay|pidfs|proc|procfs|pstore|` +
		`ramfs|resctrl|romfs|rootfs|rpc_pipefs|secretmem|securityfs|selinuxfs|squashfs|sysfs|tmpfs|tracefs)$`
)

// chooser tells which mounts "*" means.
type chooser struct {
	points, types *regexp.Regexp
	tmpfs         bool // although the types say otherwise
}

func (c chooser) wants(m mount) bool {
	if c.points.MatchString(m.point) {
		return false
	}
	switch {
	case m.fstype == "tmpfs" && c.tmpfs:
		return true
	case m.fstype == "overlay" && m.point == "/": // the root of a container; others belong to other containers
		return true
	}
	return !c.types.MatchString(m.fstype)
}

// all returns the mounts that "*" means: of bind mounts and subvolumes, which
// share their space, one; and no more than maxMounts. It counts the rest.
func (c chooser) all(mounts []mount) (chosen []mount, dropped int) {
	at := map[string]int{} // by device
	for _, m := range mounts {
		if !c.wants(m) {
			continue
		}
		i, known := at[m.device]
		switch {
		case known && chosen[i].root != "/" && m.root == "/":
			chosen[i] = m // the whole rather than a part of it
		case known:
		case len(chosen) == maxMounts:
			dropped++
		default:
			at[m.device] = len(chosen)
			chosen = append(chosen, m)
		}
	}
	return chosen, dropped
}

// find returns the mount at a path, and the mount that the path lies on if
// nothing is mounted there.
func find(mounts []mount, target string) (at mount, ok bool, on string) {
	target = path.Clean(target)
	for _, m := range mounts {
		switch {
		case m.point == target:
			return m, true, ""
		case below(target, m.point) && len(m.point) > len(on):
			on = m.point
		}
	}
	return mount{}, false, on
}

// below tells whether p lies inside the directory dir and is not dir itself.
func below(p, dir string) bool {
	if dir == "/" {
		return p != "/"
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}
