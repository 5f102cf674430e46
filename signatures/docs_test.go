package signatures

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/strictyaml"
)

var update = flag.Bool("update", false, "write the table of docs/signatures.md")

const page = "../docs/signatures.md"

// The page has a row for every shipped signature.
func TestDocumentedSignatures(t *testing.T) {
	text := read(t)
	const begin, end = "<!-- shipped -->\n", "<!-- /shipped -->"
	before, rest, _ := strings.Cut(text, begin)
	got, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no table between %s and %s", page, begin, end)
	}
	var want strings.Builder
	want.WriteString("| family | signature | cause | asks for | mode | accuses what provides |\n|---|---|---|---|---|---|\n")
	for _, f := range Shipped() {
		for _, s := range f.Signatures {
			fmt.Fprintf(&want, "| %s | `%s` | %s | %s | %s | %s |\n", f.Name, s.Name, s.Cause, s.Action, s.Mode, s.Accuses.Provides)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("%s is not up to date; run go test ./signatures -update:\n%s", page, diff)
	}
}

// The page tells of every key of a signature file, and of every metric.
func TestDocumentedKeysAndMetrics(t *testing.T) {
	text := read(t)
	for _, key := range strictyaml.KeysOf(Family{}) {
		key = strings.TrimPrefix(key, "signatures[].")
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("%s does not tell of %s", page, key)
		}
	}
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	m.last.WithLabelValues("x")
	set, err := Compile(Shipped(), today)
	if err != nil {
		t.Fatal(err)
	}
	m.Measure(set)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.Contains(text, "`"+f.GetName()) {
			t.Errorf("%s does not tell of %s", page, f.GetName())
		}
	}
}

func read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
