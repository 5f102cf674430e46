package wire

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/testkit/need"
)

// atoms are the parts of a message in the data of ircdocs/parser-tests.
type atoms struct {
	Tags   map[string]string `yaml:"tags"`
	Source string            `yaml:"source"`
	Verb   string            `yaml:"verb"`
	Params []string          `yaml:"params"`
	Nick   string            `yaml:"nick"`
	User   string            `yaml:"user"`
	Host   string            `yaml:"host"`
}

type vector struct {
	Desc    string   `yaml:"desc"`
	Input   string   `yaml:"input"`
	Source  string   `yaml:"source"`
	Atoms   atoms    `yaml:"atoms"`
	Matches []string `yaml:"matches"`
}

// vectors reads the shared data, which stand beside the repository and are no
// part of it.
func vectors(t *testing.T, file string) []vector {
	t.Helper()
	dir := os.Getenv("COLLIE_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "irc-parser-tests", file))
	if err != nil {
		need.Missing(t, "this test needs the data of ircdocs/parser-tests: "+err.Error()+"; set COLLIE_SHARED_DATA to the folder that holds irc-parser-tests")
	}
	var doc struct {
		Tests []vector `yaml:"tests"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Tests) < 5 {
		t.Fatalf("%s has %d tests, which is less than it should", file, len(doc.Tests))
	}
	return doc.Tests
}

func TestSuiteSplit(t *testing.T) {
	for _, v := range vectors(t, "msg-split.yaml") {
		m, err := Parse(v.Input)
		if err != nil {
			t.Errorf("%q: %v", v.Input, err)
			continue
		}
		got := atoms{Tags: m.Tags, Source: m.Source, Verb: m.Command, Params: m.Params}
		if diff := cmp.Diff(orEmpty(v.Atoms), orEmpty(got)); diff != "" {
			t.Errorf("%q: %s", v.Input, diff)
		}
	}
}

// orEmpty makes what is absent and what is empty equal, as the data do.
func orEmpty(a atoms) atoms {
	if a.Tags == nil {
		a.Tags = map[string]string{}
	}
	if a.Params == nil {
		a.Params = []string{}
	}
	return a
}

func TestSuiteJoin(t *testing.T) {
	for _, v := range vectors(t, "msg-join.yaml") {
		m := Message{Tags: v.Atoms.Tags, Source: v.Atoms.Source, Command: v.Atoms.Verb, Params: v.Atoms.Params}
		found := false
		for _, want := range v.Matches {
			found = found || m.String() == want
		}
		if !found {
			t.Errorf("%s: %q is none of %q", v.Desc, m.String(), v.Matches)
		}
	}
}

func TestSuiteMasks(t *testing.T) {
	for _, v := range vectors(t, "userhost-split.yaml") {
		want := Mask{v.Atoms.Nick, v.Atoms.User, v.Atoms.Host}
		if got := ParseMask(v.Source); got != want {
			t.Errorf("%q: %+v, want %+v", v.Source, got, want)
		}
	}
}
