package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/exporters"
	"github.com/colliehq/collie/exporters/probe"
)

var update = flag.Bool("update", false, "write the sentences to testdata/bad/*.want instead of comparing them")

// environment is what ${NAME} finds in these tests.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"LIST": "[git, registry]", "PASSWORD": "hunter2", "HOST": "gitlab.example.org", "EMPTY": "", "EVERY": "90s",
	}[name]
	return value, ok
}

// folder makes a working directory of the files, with the modes that secrets
// need: a version control system keeps none.
func folder(t *testing.T, files ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(from) == "world.secret" {
			if err := os.Chmod(to, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Chdir(dir)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no files, %v", pattern, err)
	}
	for i := range files {
		if files[i], err = filepath.Abs(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func kinds() []probe.Kind { return exporters.NewSet(exporters.SetOptions{}).Kinds() }

// Each file of testdata/bad is a mistake of a typical first attempt; the .want
// beside it is what its author reads.
func TestMistakes(t *testing.T) {
	beside := glob(t, "testdata/files/*")
	for _, file := range glob(t, "testdata/bad/*.yml") {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yml"), func(t *testing.T) {
			folder(t, append(beside, file)...)
			c, told := Load(name, environment, kinds())
			if c != nil || len(told) == 0 {
				t.Fatal("no mistake was found")
			}
			got := told.Error() + "\n"
			if strings.Contains(got, "hunter2") {
				t.Error("a secret is told:", got)
			}
			want := strings.TrimSuffix(file, ".yml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
