package local

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func points(mounts []mount) (names []string) {
	for _, m := range mounts {
		names = append(names, fmt.Sprintf("%s %d", m.point, m.id))
	}
	return names
}

func TestEverythingMeansRealFileSystems(t *testing.T) {
	server, container := "testdata/proc/self/mountinfo", "testdata/mountinfo/container"
	for _, tt := range []struct {
		name, file, options string
		want                []string
	}{
		// The bind mount below /srv shares its space; autofs, the loop image and
		// docker's layers are left out.
		{"a server", server, "", []string{"/ 29", "/srv 90", "/home/kit 96", `/mnt/My Backup\Disk 97`}},
		{"with tmpfs", server, "tmpfs: true", []string{"/run 26", "/ 29", "/srv 90", "/home/kit 96", `/mnt/My Backup\Disk 97`, "/tmp 98"}},
		{"without mount points", server, "mount_points_exclude: ^/(srv|mnt)/?", []string{"/ 29", "/home/kit 96"}},
		{"without types", server, "fs_types_exclude: .", nil},
		{"other types", server, "fs_types_exclude: ^(sysfs|proc|tmpfs|devtmpfs|devpts|ext4|xfs|autofs|nsfs|securityfs|cgroup2|hugetlbfs|fuse.*)$", []string{"/snap/core/16928 81", "/home/kit 96"}},
		// The root of a container is an overlay. The files that the engine mounts
		// into it show the engine's own disk, once.
		{"a container", container, "", []string{"/ 1475", "/etc/resolv.conf 1487"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := filesystemOf(t, nil, tt.options)
			got, dropped := f.choose.all(visible(mountsOf(t, tt.file)))
			if diff := cmp.Diff(tt.want, points(got)); diff != "" || dropped != 0 {
				t.Errorf("dropped %d; %s", dropped, diff)
			}
		})
	}
}

func TestTheWholeIsChosenBeforeAPartOfIt(t *testing.T) {
	f := filesystemOf(t, nil, "")
	got, _ := f.choose.all([]mount{
		{id: 1, device: "8:1", root: "/part", point: "/a", fstype: "ext4"},
		{id: 2, device: "8:1", root: "/", point: "/b", fstype: "ext4"},
		{id: 3, device: "8:1", root: "/", point: "/c", fstype: "ext4"},
	})
	if diff := cmp.Diff([]string{"/b 2"}, points(got)); diff != "" {
		t.Error(diff)
	}
}

func TestMountsAreCapped(t *testing.T) {
	var mounts []mount
	for i := range maxMounts + 7 {
		mounts = append(mounts, mount{id: i, device: fmt.Sprint("8:", i), root: "/", point: fmt.Sprint("/m", i), fstype: "ext4"})
	}
	got, dropped := filesystemOf(t, nil, "").choose.all(mounts)
	if len(got) != maxMounts || dropped != 7 {
		t.Errorf("chose %d and dropped %d, want %d and 7", len(got), dropped, maxMounts)
	}
}

func TestFind(t *testing.T) {
	mounts := visible(mountsOf(t, "testdata/proc/self/mountinfo"))
	for _, tt := range []struct {
		target string
		id     int
		on     string
	}{
		{"/", 29, ""},
		{"/srv", 90, ""},
		{"/srv/", 90, ""},
		{"//srv/./", 90, ""},
		{`/mnt/My Backup\Disk`, 97, ""},
		{"/srv/www", 0, "/srv"},
		{"/srv2", 0, "/"},
		{"/home/someone", 0, "/home"},
	} {
		got, ok, on := find(mounts, tt.target)
		if ok != (tt.id != 0) || got.id != tt.id || on != tt.on {
			t.Errorf("find %s: mount %d, %v, on %q; want %d on %q", tt.target, got.id, ok, on, tt.id, tt.on)
		}
	}
}
