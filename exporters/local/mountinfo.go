package local

import (
	"path"
	"strconv"
	"strings"
)

// mount is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)), unescaped.
type mount struct {
	id, parent int
	device     string // major:minor of the file system, one for all its bind mounts
	root       string // which directory of the file system is mounted
	point      string
	options    string // of this mount
	fstype     string
	source     string // what is mounted: a block device, server:/export, any text
	super      string // options of the file system itself
}

// readonly tells whether nothing can be written through this mount: it is
// mounted so, or the kernel made the whole file system so after an error.
func (m mount) readonly() bool {
	return hasOption(m.options, "ro") || hasOption(m.super, "ro")
}

func hasOption(options, want string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == want {
			return true
		}
	}
	return false
}

// parseMountinfo reads what the kernel lists, in its order. Lines that are not
// understood are counted, and cost nothing but themselves.
func parseMountinfo(text string) (mounts []mount, odd int) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		if m, ok := parseMount(line); ok {
			mounts = append(mounts, m)
		} else {
			odd++
		}
	}
	return mounts, odd
}

// parseMount splits at single spaces: a source may be empty, and then two stand
// side by side. A space inside a field is escaped.
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func parseMount(line string) (m mount, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	if !ok {
		return m, false
	}
	head := strings.SplitN(before, " ", 7)
	tail := strings.SplitN(after, " ", 3)
	if len(head) < 6 || len(tail) < 2 {
		return m, false
	}
	id, err := strconv.Atoi(head[0])
	if err != nil {
		return m, false
	}
	parent, err := strconv.Atoi(head[1])
	if err != nil {
		return m, false
	}
	m = mount{
		id: id, parent: parent, device: head[2],
		root: unescape(head[3]), point: unescape(head[4]), options: head[5],
		fstype: unescape(tail[0]), source: unescape(tail[1]),
	}
	if len(tail) == 3 {
		m.super = tail[2]
	}
	return m, strings.HasPrefix(m.point, "/")
}

// unescape turns \040 and the like back into the bytes they stand for. What is
// no escape stays as it is.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// visible leaves out the mounts that no path leads to any more, because another
// was mounted over them: asking by path would answer for the other one.
func visible(mounts []mount) []mount {
	t := tree{byID: make(map[int]mount, len(mounts)), over: make(map[place]int, len(mounts))}
	for _, m := range mounts {
		t.byID[m.id] = m
		if m.id != m.parent {
			t.over[place{m.parent, m.point}] = m.id
		}
	}
	var seen []mount
	at := make(map[string]int, len(mounts))
	for _, m := range mounts {
		i, twice := at[m.point]
		switch {
		case t.hides(m):
		case twice: // propagation can put two under one parent; the later is on top
			seen[i] = m
		default:
			at[m.point] = len(seen)
			seen = append(seen, m)
		}
	}
	return seen
}

// place is where a mount is attached: to a path of its parent.
type place struct {
	parent int
	point  string
}

type tree struct {
	byID map[int]mount
	over map[place]int // the mount attached there
}

// hides tells whether something is mounted over m, or over a directory that the
// path to m passes through. What was there before m is no cover: m's path was
// resolved through it, so it is m's parent or further up.
func (t tree) hides(m mount) bool {
	if _, covered := t.over[place{m.id, m.point}]; covered {
		return true
	}
	for range len(t.byID) { // bounds a loop of parents, which no kernel writes
		for dir := m.point; dir != "/"; {
			dir = path.Dir(dir)
			if id, covered := t.over[place{m.parent, dir}]; covered && id != m.id {
				return true
			}
		}
		parent, ok := t.byID[m.parent]
		if !ok || parent.id == m.id {
			return false
		}
		m = parent
	}
	return false
}
