package local

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/internal/testkit/promserver"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	MaybeHelper()
	os.Exit(m.Run())
}

// fakeAsker answers from a table, or not at all while a path hangs.
type fakeAsker struct {
	mu        sync.Mutex
	answers   map[string]answer
	hanging   map[string]bool
	out       map[string][]*call
	asked     map[string]int
	abandoned int
	err       error
}

func newFakeAsker(answers map[string]answer) *fakeAsker {
	return &fakeAsker{answers: answers, hanging: map[string]bool{}, out: map[string][]*call{}, asked: map[string]int{}}
}

func (f *fakeAsker) ask(_ context.Context, path string) (*call, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[path]++
	if f.err != nil {
		return nil, f.err
	}
	c := newCall()
	if f.hanging[path] {
		f.out[path] = append(f.out[path], c)
	} else {
		c.finish(f.answers[path], nil)
	}
	return c, nil
}

// thaw answers what hangs, with err if it is not nil.
func (f *fakeAsker) thaw(path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.hanging, path)
	for _, c := range f.out[path] {
		c.finish(f.answers[path], err)
	}
	delete(f.out, path)
}

func (f *fakeAsker) abandon(*call) { f.abandoned++ }
func (f *fakeAsker) close() error  { return nil }

// serverAnswers are the sizes of the mounts of testdata/proc.
func serverAnswers() map[string]answer {
	return map[string]answer{
		"/":                   {unit: 4096, blocks: 1000, free: 500, avail: 450, files: 100, filesFree: 60},
		"/srv":                {unit: 4096, blocks: 2000, free: 1000, avail: 1000, files: 200, filesFree: 150},
		"/home/kit":           {unit: 1 << 20, blocks: 4096, free: 64, avail: 64},
		`/mnt/My Backup\Disk`: {unit: 512, blocks: 8000},
	}
}

// procDir is a copy of testdata/proc in which the mounts can be changed.
func procDir(t testing.TB, mountinfo string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/proc")); err != nil {
		t.Fatal(err)
	}
	if mountinfo != "" {
		writeMountinfo(t, dir, mountinfo)
	}
	return dir
}

func writeMountinfo(t testing.TB, dir, mountinfo string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "self/mountinfo"), []byte(mountinfo), 0o600); err != nil {
		t.Fatal(err)
	}
}

// moduleOf builds a module of a kind from the text of its options.
func moduleOf(t testing.TB, l *Local, kind, options string) probe.Module {
	t.Helper()
	for _, k := range l.Kinds() {
		if k.Name == kind {
			build := k.Build(nodeOf(t, options), func(line int, format string, args ...any) {
				t.Fatalf("line %d: %s", line, fmt.Sprintf(format, args...))
			})
			return probe.Module{Name: kind, Kind: kind, Probe: build}
		}
	}
	t.Fatalf("no kind %q", kind)
	return probe.Module{}
}

func filesystemOf(t testing.TB, l *Local, options string) filesystem {
	t.Helper()
	return l.decodeFilesystem(nodeOf(t, options), func(line int, format string, args ...any) {
		t.Fatalf("line %d: %s", line, fmt.Sprintf(format, args...))
	})
}

func nodeOf(t testing.TB, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// golden compares an exposition with a file, and has promtool look at it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", file, diff)
	}
	checkMetrics(t, got)
}

func checkMetrics(t *testing.T, exposition string) {
	t.Helper()
	need.Program(t, "promtool")
	if err := promserver.CheckMetrics(t.Context(), exposition); err != nil {
		t.Error(err)
	}
}

// metric returns the value of a series of an exposition.
func metric(t testing.TB, exposition, series string) string {
	t.Helper()
	for line := range strings.Lines(exposition) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Errorf("no series %s in\n%s", series, exposition)
	return ""
}

func exposition(r probe.Result) string { return string(probe.AppendText(nil, r.Metrics.Families())) }
