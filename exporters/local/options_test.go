package local

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each option with a value that is right and what a user reads for one that is
// not. All mistakes of a module are told in one run.
func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		kind, text string
		want       []string
	}{
		{"filesystem", "min_free_ratio: 0.1\nmin_free_bytes: 10GB\nmin_free_inodes_ratio: 5%\nexpect_writable: no\nmount_points_exclude: ^/mnt\nfs_types_exclude: nfs\ntmpfs: true", nil},
		{"filesystem", "", nil},
		{"filesystem", "min_free_ratio: 10\nmin_free_bytes: lots\nmin_free_inodes_ratio: NaN\nexpect_writable: maybe\nmount_points_exclude: '('\nfs_types_exclude: []\ntmpfs: 3\nmin_free_rati: 1", []string{
			`1: min_free_ratio: "10" is not a part of a whole; write it like 0.1 or 10%`,
			`2: min_free_bytes: "lots" is not a number of bytes; write it like 500MB or 20GB`,
			`3: min_free_inodes_ratio: "NaN" is not a part of a whole; write it like 0.1 or 10%`,
			`4: expect_writable: "maybe" is not true or false`,
			"5: mount_points_exclude: error parsing regexp: missing closing ): `(`",
			`6: fs_types_exclude: expected a single value, found a list`,
			`7: tmpfs: "3" is not true or false`,
			`8: unknown key "min_free_rati"; did you mean "min_free_ratio"?`,
		}},
		{"filesystem", "- x", []string{`1: expected a map, found a list; write its keys without "- "`}},
		{"machine", "max_clock_offset: 100ms\nmax_clock_error: 1s\nclock_synchronized: true\nmin_memory_available_ratio: 2%\nmax_load_per_cpu: 4", nil},
		{"machine", "max_clock_offset: 1\nmax_clock_error: fast\nclock_synchronized: 2\nmin_memory_available_ratio: -1\nmax_load_per_cpu: -4\nclock_sync: 3", []string{
			`1: max_clock_offset: 1 has no unit; write 1s for seconds or 1m for minutes`,
			`2: max_clock_error: "fast" is not a duration; write it like 30s or 1m30s`,
			`3: clock_synchronized: "2" is not true or false`,
			`4: min_memory_available_ratio: "-1" is not a part of a whole; write it like 0.1 or 10%`,
			`5: max_load_per_cpu: must be a number of at least 0`,
			`6: unknown key "clock_sync"; did you mean "clock_synchronized"?`,
		}},
	} {
		var got []string
		for _, k := range newLocal(Options{}, newFakeAsker(nil)).Kinds() {
			if k.Name == tt.kind {
				k.Build(nodeOf(t, tt.text), func(line int, format string, args ...any) {
					got = append(got, fmt.Sprintf("%d: ", line)+fmt.Sprintf(format, args...))
				})
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s\n%s: %s", tt.kind, tt.text, diff)
		}
	}
}
