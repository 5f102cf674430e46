package metricdoc_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/testkit/metricdoc"
)

var update = flag.Bool("update", false, "used by what is tested here; the tests set it")

const golden = `# HELP probe_pool_size_bytes Size of a | b.
# TYPE probe_pool_size_bytes gauge
probe_pool_size_bytes{pool="a",phase="x"} 1
probe_pool_size_bytes{pool="b"} 2
# HELP probe_duration_seconds How long.
# TYPE probe_duration_seconds gauge
probe_duration_seconds T
`

const page = "# Pools\n\n<!-- metrics -->\nold\n<!-- /metrics -->\n\nend\n"

const written = "# Pools\n\n<!-- metrics -->\n" +
	"| metric | type | labels | meaning |\n|---|---|---|---|\n" +
	"| `probe_duration_seconds` | gauge |  | How long. |\n" +
	"| `probe_pool_size_bytes` | gauge | `phase`, `pool` | Size of a \\| b. |\n" +
	"<!-- /metrics -->\n\nend\n"

// told is a testing.TB that notes what it is told.
type told struct {
	testing.TB
	text string
}

func (t *told) Helper()                      {}
func (t *told) Name() string                 { return "TestDocs/sub" }
func (t *told) Errorf(f string, args ...any) { t.text += fmt.Sprintf(f, args...) }

// files gives a page and a golden exposition in a new directory.
func files(t *testing.T) (doc, prom string) {
	t.Helper()
	dir := t.TempDir()
	doc, prom = filepath.Join(dir, "page.md"), filepath.Join(dir, "golden.prom")
	write(t, doc, page)
	write(t, prom, golden)
	return doc, prom
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDriftFailsAndSaysWhatToRun(t *testing.T) {
	doc, prom := files(t)
	var seen told
	metricdoc.Check(&seen, doc, prom)
	for _, want := range []string{"page.md", "go test -run '^TestDocs$' . -update", "probe_pool_size_bytes"} {
		if !strings.Contains(seen.text, want) {
			t.Errorf("%q does not name %q", seen.text, want)
		}
	}
}

func TestUpdateWritesThePage(t *testing.T) {
	doc, prom := files(t)
	*update = true
	metricdoc.Check(t, doc, prom)
	*update = false
	got, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, string(got)); diff != "" {
		t.Error(diff)
	}
	metricdoc.Check(t, doc, prom)
}

func TestOneMeaningForEachFamily(t *testing.T) {
	_, prom := files(t)
	other := prom + "2"
	write(t, other, strings.Replace(golden, "How long.", "How wide.", 1))
	if _, err := metricdoc.Table(prom, other); err == nil || !strings.Contains(err.Error(), "How wide.") {
		t.Errorf("two help texts gave %v", err)
	}
}

func TestAPageWithoutThePlace(t *testing.T) {
	for _, text := range []string{"", "<!-- metrics -->\n", "<!-- /metrics -->\n<!-- metrics -->\n"} {
		if _, err := metricdoc.Put(text, ""); err == nil {
			t.Errorf("%q was taken for a page with a place for a table", text)
		}
	}
}
