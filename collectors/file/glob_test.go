package file_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/collectors/file"
)

func TestGlob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.log", "b.log", "b.txt", "x/c.log", "x/y/d.log", "x/y/z/e.log"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "x", "y"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	every := []string{"a.log", "b.log", "b.txt", "x/c.log", "x/y/d.log", "x/y/z/e.log"}
	for pattern, want := range map[string][]string{
		"*.log":       {"a.log", "b.log"},
		"a.log":       {"a.log"},
		"none.log":    nil,
		"*/*.log":     {"link/d.log", "x/c.log"},
		"**/*.log":    {"a.log", "b.log", "x/c.log", "x/y/d.log", "x/y/z/e.log"},
		"x/**/e.log":  {"x/y/z/e.log"},
		"x/**/[cd].*": {"x/c.log", "x/y/d.log"},
		"**":          every,
	} {
		found, err := file.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, path := range found {
			name, _ := filepath.Rel(dir, path)
			got = append(got, name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", pattern, diff)
		}
		for _, name := range every {
			if file.Match(pattern, name) != slices.Contains(want, name) {
				t.Errorf("pattern %s matches %s: %v", pattern, name, file.Match(pattern, name))
			}
		}
	}
	if file.ValidGlob("/var/log/[a.log") == nil {
		t.Error("a glob with an open [ is taken")
	}
}
