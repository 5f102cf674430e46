package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// listed is what go list tells of a package.
type listed struct {
	ImportPath string                 `json:"ImportPath"`
	Module     *struct{ Path string } `json:"Module"`
	Imports    []string               `json:"Imports"`
}

// packages lists the packages of this module and all that they are built from.
func packages(t *testing.T, flags ...string) []listed {
	t.Helper()
	watch(t)
	args := append([]string{"list", "-deps", "-e", "-json=ImportPath,Module,Imports"}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./...")...)
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath, _, _ = strings.Cut(p.ImportPath, " ") // "a [a.test]"
		all = append(all, p)
	}
}

// watch reads the folders of the repository, so that a cached result of this
// test is dropped when a file in them changes.
func watch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(_ string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p listed) ours() bool { return p.Module != nil && p.Module.Path == module }

func TestArrowsPointOneWay(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		from, _ := strings.CutPrefix(p.ImportPath, module+"/")
		if !p.ours() {
			continue
		}
		seen++
		for _, imported := range p.Imports {
			if text := wrong(from, imported); text != "" {
				t.Error(text)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

// The rule itself, on arrows that must and must not be.
func TestWrong(t *testing.T) {
	for arrow, good := range map[[2]string]bool{
		{"signal", "time"}:                                                   true,
		{"signal", "github.com/x/y"}:                                         false,
		{"retry", module + "/signal"}:                                        true,
		{"signal", module + "/retry"}:                                        false,
		{"internal/store", module + "/internal/queue"}:                       true,
		{"internal/store", module + "/ledger"}:                               false,
		{"ledger", module + "/internal/store"}:                               true,
		{"ledger/client", module + "/ledger/record"}:                         true,
		{"ledger", module + "/exporters/verdict"}:                            false,
		{"exporters", module + "/internal/config"}:                           false,
		{"internal/config", module + "/exporters"}:                           true,
		{"internal/config", module + "/cmd/collie"}:                          false,
		{"cmd/collie", module + "/dashboards/page"}:                          true,
		{"dashboards/page", module + "/internal/testkit"}:                    false,
		{"test/bench/queue", module + "/internal/testkit"}:                   true,
		{"ledger", module + "/test/bench/figure"}:                            false,
		{"helpers", module + "/signal"}:                                      false,
		{"test/chaos", module + "/cmd/collie"}:                               false,
		{"exporters/host", "github.com/prometheus/client_golang/prometheus"}: true,
		{"internal/queue/sqlite", module + "/internal/queue"}:                true,
		{"internal/queue", module + "/internal/daemon"}:                      false,
		{"internal/config", module + "/internal/daemon"}:                     true,
		{"exporters", module + "/internal/daemon"}:                           false,
		{"retry", "golang.org/x/time/rate"}:                                  false,
		{"alerting", "github.com/prometheus/alertmanager/dispatch"}:          true,
		{"herder", module + "/signatures"}:                                   false,
		{"internal/testkit/gitlab", module + "/internal/testkit"}:            true,
		{"internal/store", "modernc.org/sqlite"}:                             true,
	} {
		if text := wrong(arrow[0], arrow[1]); (text == "") != good {
			t.Errorf("%s → %s: %q", arrow[0], arrow[1], text)
		}
	}
}

var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// docs/dependencies.md has a row for every module that our packages or their
// tests import, and no other.
func TestDependenciesAreAccountedFor(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, found := range row.FindAllStringSubmatch(string(text), -1) {
		told = append(told, found[1])
	}
	used := direct(packages(t, "-test"))
	for _, m := range used {
		if !slices.Contains(told, m) {
			t.Errorf("docs/dependencies.md does not say what %s is for", m)
		}
	}
	for _, m := range told {
		if !slices.Contains(used, m) {
			t.Errorf("docs/dependencies.md tells of %s, which nothing imports", m)
		}
	}
}

// direct lists the modules of others that our packages import.
func direct(all []listed) []string {
	home := map[string]string{}
	for _, p := range all {
		if p.Module != nil {
			home[p.ImportPath] = p.Module.Path
		}
	}
	var used []string
	for _, p := range all {
		if !p.ours() {
			continue
		}
		for _, imported := range p.Imports {
			imported, _, _ = strings.Cut(imported, " ")
			if m := home[imported]; m != "" && m != module && !slices.Contains(used, m) {
				used = append(used, m)
			}
		}
	}
	slices.Sort(used)
	return used
}
