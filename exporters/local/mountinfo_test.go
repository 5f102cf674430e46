package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The lines are those of proc_pid_mountinfo(5) and of real machines.
func TestParseMount(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       mount
	}{
		{
			"from the manual page", "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
			mount{36, 35, "98:0", "/mnt1", "/mnt2", "rw,noatime", "ext3", "/dev/root", "rw,errors=continue"},
		},
		{
			"no optional field", "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard",
			mount{27, 1, "254:0", "/", "/", "rw,relatime", "ext4", "/dev/vda", "rw,discard"},
		},
		{
			"several optional fields", "97 29 0:53 / /x ro shared:2 master:7 propagate_from:3 unbindable - nfs4 h:/e rw",
			mount{97, 29, "0:53", "/", "/x", "ro", "nfs4", "h:/e", "rw"},
		},
		{
			"escapes", `97 29 0:53 / /a\040b\011c\012d\134e rw - fuse\043x s\040t rw`,
			mount{97, 29, "0:53", "/", "/a b\tc\nd\\e", "rw", "fuse#x", "s t", "rw"},
		},
		{
			"no source", "98 29 0:54 / /tmp rw - tmpfs  rw,inode64",
			mount{98, 29, "0:54", "/", "/tmp", "rw", "tmpfs", "", "rw,inode64"},
		},
		{
			"no super options", "98 29 0:54 / /tmp rw - tmpfs none",
			mount{98, 29, "0:54", "/", "/tmp", "rw", "tmpfs", "none", ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseMount(tt.line)
			if !ok {
				t.Fatal("not understood")
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(mount{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseMountinfoCountsWhatItDoesNotUnderstand(t *testing.T) {
	mounts, odd := parseMountinfo("\n27 1 254:0 / / rw - ext4 /dev/vda rw\nx\n27 y 254:0 / / rw - ext4 a rw\n27 1 254:0 / / rw ext4 a rw\n27 1 254:0 / rel rw - ext4 a rw\n1 2 - \n")
	if len(mounts) != 1 || odd != 5 {
		t.Errorf("understood %d lines and counted %d, want 1 and 5", len(mounts), odd)
	}
}

func TestReadonly(t *testing.T) {
	for _, tt := range []struct {
		options, super string
		want           bool
	}{
		{"rw,relatime", "rw,errors=remount-ro", false},
		{"ro,relatime", "rw", true},
		{"rw,relatime", "ro,errors=remount-ro", true}, // what the kernel does after an error
		{"rw", "", false},
	} {
		if got := (mount{options: tt.options, super: tt.super}).readonly(); got != tt.want {
			t.Errorf("options %q, super %q: readonly is %v", tt.options, tt.super, got)
		}
	}
}

func TestVisible(t *testing.T) {
	got := points(visible(mountsOf(t, "testdata/mountinfo/overmounted")))
	// /dev/pts is mounted twice: 29 is on top. /data (42) was mounted over the
	// first /data/deep (40), with what is mounted in it; 43 came after that.
	want := []string{"/proc 22", "/dev 24", "/ 27", "/dev/pts 29", "/data 42", "/data/deep 43"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func mountsOf(t *testing.T, file string) []mount {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mounts, odd := parseMountinfo(string(text))
	if odd > 0 {
		t.Fatalf("%d lines of %s are not understood", odd, file)
	}
	return mounts
}

func FuzzMountinfo(f *testing.F) {
	for _, pattern := range []string{"testdata/mountinfo/*", "testdata/proc/self/mountinfo"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add("1 1 0:1 / / rw - a b c\n2 3 0:2 / // rw - a b c\n3 2 0:3 / /\\400\\04 rw - a b c\n")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, odd := parseMountinfo(text)
		if len(mounts)+odd > strings.Count(text, "\n")+1 {
			t.Fatalf("%d mounts and %d odd lines from %d lines", len(mounts), odd, strings.Count(text, "\n")+1)
		}
		seen := map[string]bool{}
		for _, m := range visible(mounts) {
			if seen[m.point] {
				t.Fatalf("%q is visible twice", m.point)
			}
			seen[m.point] = true
			if l := label(m.point); !utf8.ValidString(l) || len(l) > maxLabel {
				t.Fatalf("%q is no label", l)
			}
			find(mounts, m.point)
		}
	})
}
