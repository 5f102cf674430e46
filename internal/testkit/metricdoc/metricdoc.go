// Package metricdoc keeps the tables of metrics in the documentation true: a
// table is made from golden expositions, which are what a probe really says.
package metricdoc

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The table stands between these two lines of a page.
const (
	Begin = "<!-- metrics -->"
	End   = "<!-- /metrics -->"
)

// Check fails t unless the page has, between Begin and End, the table of every
// family in the golden expositions. With the flag -update of the calling test
// package, which that package declares, it writes the table instead. Paths are
// relative to the package's directory, as in a test.
func Check(t testing.TB, page string, goldens ...string) {
	t.Helper()
	table, err := Table(goldens...)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Put(string(before), table)
	switch {
	case err != nil:
		t.Fatalf("%s: %v", page, err)
	case after == string(before):
	case updating():
		if err := os.WriteFile(page, []byte(after), 0o644); err != nil { //nolint:gosec // a page for everyone
			t.Fatal(err)
		}
	default:
		t.Errorf("the metrics in %s are not those of %s; %s\n%s", page, strings.Join(goldens, ", "), command(t), cmp.Diff(string(before), after))
	}
}

// updating tells whether the test runs with -update.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// command says what to run to have the page written.
func command(t testing.TB) string {
	if flag.Lookup("update") == nil {
		return `declare in this package's tests: var update = flag.Bool("update", false, "write the golden files anew")`
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	return fmt.Sprintf("read the difference, then run in .../%s: go test -run '^%s$' . -update", filepath.Base(dir), name)
}

// Put replaces what stands between Begin and End in the page.
func Put(page, table string) (string, error) {
	head, rest, ok := strings.Cut(page, Begin+"\n")
	if !ok {
		return "", fmt.Errorf("no line %q", Begin)
	}
	_, tail, ok := strings.Cut(rest, End)
	if !ok {
		return "", fmt.Errorf("no line %q after %q", End, Begin)
	}
	return head + Begin + "\n" + table + End + tail, nil
}

// Table is the table in Markdown of the families in the golden expositions:
// name, type, labels and help text, ordered by name.
func Table(goldens ...string) (string, error) {
	all := map[string]row{}
	for _, golden := range goldens {
		text, err := os.ReadFile(golden)
		if err == nil {
			err = gather(all, text)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", golden, err)
		}
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(all[name].markdown(name))
	}
	return b.String(), nil
}

// row is what the table says of a family.
type row struct {
	kind, help string
	labels     map[string]bool
}

// unsteady is a sample whose value differs from run to run, which golden files
// write as T.
var unsteady = regexp.MustCompile(`(?m) T$`)

// gather adds the families of an exposition. A family means the same in all.
func gather(all map[string]row, text []byte) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(unsteady.ReplaceAll(text, []byte(" 0"))))
	if err != nil {
		return err
	}
	for name, family := range families {
		r, ok := all[name]
		if !ok {
			r = row{kind: strings.ToLower(family.GetType().String()), help: family.GetHelp(), labels: map[string]bool{}}
		}
		if got := strings.ToLower(family.GetType().String()); got != r.kind || family.GetHelp() != r.help {
			return fmt.Errorf("%s is a %s %q here, and a %s %q in another file", name, got, family.GetHelp(), r.kind, r.help)
		}
		r.add(family.GetMetric())
		all[name] = r
	}
	return nil
}

// add notes the names of the labels.
func (r row) add(metrics []*dto.Metric) {
	for _, m := range metrics {
		for _, l := range m.GetLabel() {
			r.labels[l.GetName()] = true
		}
	}
}

func (r row) markdown(name string) string {
	labels := make([]string, 0, len(r.labels))
	for _, l := range slices.Sorted(maps.Keys(r.labels)) {
		labels = append(labels, "`"+l+"`")
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, r.kind, strings.Join(labels, ", "), cell.Replace(r.help))
}

// cell keeps a text inside one cell of a table.
var cell = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")
