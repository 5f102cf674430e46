package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	runbooks   = "../../docs/runbooks"
	runbookURL = "https://github.com/colliehq/collie/blob/main/docs/runbooks/"
)

// rule is a shipped rule and the file it stands in.
type rule struct {
	rulefmt.Rule
	file string
}

// shipped reads every rule as the embedded engine does.
func shipped(t *testing.T) []rule {
	t.Helper()
	names, err := fs.Glob(FS, "*.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no rule files: %v", err)
	}
	var all []rule
	for _, name := range names {
		text, err := fs.ReadFile(FS, name)
		if err != nil {
			t.Fatal(err)
		}
		groups, errs := rulefmt.Parse(text, false)
		if len(errs) > 0 {
			t.Fatalf("%s: %v", name, errs)
		}
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				all = append(all, rule{r, name})
			}
		}
	}
	return all
}

func alerts(t *testing.T) []rule {
	return slices.DeleteFunc(shipped(t), func(r rule) bool { return r.Alert == "" })
}

func TestEveryAlertSaysWhatItNeedsTo(t *testing.T) {
	severities := []string{"critical", "warning", "info", "none", byTier}
	seen := map[string]bool{}
	for _, r := range alerts(t) {
		if seen[r.Alert] {
			t.Errorf("%s: a second alert has the name %s, which runbooks and silences go by", r.file, r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains(severities, r.Labels["severity"]) {
			t.Errorf("%s: severity %q is none of ours", r.Alert, r.Labels["severity"])
		}
		if (r.Labels["severity"] == "none") != (r.Alert == "DeadMansSwitch") {
			t.Errorf("%s: severity none is the dead man's switch's alone", r.Alert)
		}
		for _, key := range []string{"summary", "description", "runbook_url"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s: has no %s", r.Alert, key)
			}
		}
		if want := runbookURL + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		if strings.Contains(r.Expr, "collie_target_state") && (r.For != 0 || r.KeepFiringFor != 0) {
			t.Errorf("%s: the verdict has waited already, a rule on it waits no more", r.Alert)
		}
	}
}

// Where the tier of the target chooses the severity.
const byTier = `{{ if eq $labels.tier "essential" }}critical{{ else if eq $labels.tier "optional" }}info{{ else }}warning{{ end }}`

func TestRunbooks(t *testing.T) {
	known := map[string]bool{"README.md": true}
	index, err := os.ReadFile(filepath.Join(runbooks, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts(t) {
		name := r.Alert + ".md"
		known[name] = true
		raw, err := os.ReadFile(filepath.Join(runbooks, name))
		if err != nil {
			t.Errorf("%s has no runbook: %v", r.Alert, err)
			continue
		}
		text := string(raw)
		for _, want := range []string{"# " + r.Alert + "\n", "\n## What it means\n", "\n## What to look at\n", "\n## What to do\n", "\n```", "(../../alerting/rules/" + r.file + ")"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: has no %q", name, strings.TrimSpace(want))
			}
		}
		if !strings.Contains(string(index), "("+name+")") {
			t.Errorf("README.md does not lead to %s", name)
		}
	}
	files, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("%s is the runbook of no alert", f.Name())
		}
		checkLinks(t, f.Name())
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

func checkLinks(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(runbooks, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range link.FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join(runbooks, found[1])); err != nil {
			t.Errorf("%s: leads nowhere: %s", name, found[1])
		}
	}
}

// Every name and every label in a rule is held against expositions: those that
// the probes' own tests compare with, and that of a running Collie.
func TestEverySelectorHasSeries(t *testing.T) {
	series := exposed(t)
	for _, r := range shipped(t) {
		if r.Record != "" {
			series[r.Record] = append(series[r.Record], labels.FromStrings("target", "web", "tier", "essential", "probe", "http_2xx", "instance", "web:80"),
				labels.FromStrings("target", "nightly", "tier", "essential"))
		}
	}
	for _, r := range shipped(t) {
		expr, err := parser.ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if v, ok := node.(*parser.VectorSelector); ok && !matched(v, series[v.Name]) {
				t.Errorf("%s: nothing exposes %s", name(r), v)
			}
			return nil
		})
	}
}

func name(r rule) string { return r.Record + r.Alert }

func matched(v *parser.VectorSelector, series []labels.Labels) bool {
	return slices.ContainsFunc(series, func(ls labels.Labels) bool {
		return !slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name != labels.MetricName && !m.Matches(ls.Get(m.Name))
		})
	})
}

// exposed are the series of all expositions, by name.
func exposed(t *testing.T) map[string][]labels.Labels {
	t.Helper()
	files := []string{"testdata/metrics.txt"}
	for _, pattern := range []string{"../../exporters/*/testdata/*.prom", "../../exporters/*/testdata/*/*.prom"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	all := map[string][]labels.Labels{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			at := strings.LastIndexByte(line, ' ')
			if at < 0 || strings.HasPrefix(line, "#") {
				continue
			}
			ls, err := parser.ParseMetric(line[:at])
			if err != nil {
				t.Fatalf("%s: %q: %v", file, line, err)
			}
			all[ls.Get(labels.MetricName)] = append(all[ls.Get(labels.MetricName)], ls)
		}
	}
	return all
}
