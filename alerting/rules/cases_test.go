package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// caseFile is what matters here of a file for promtool test rules.
type caseFile struct {
	Tests []struct {
		Name  string
		Evals []eval `yaml:"alert_rule_test"`
	}
}

type eval struct {
	At     model.Duration `yaml:"eval_time"`
	Alert  string         `yaml:"alertname"`
	Firing []struct {
		Labels map[string]string `yaml:"exp_labels"`
	} `yaml:"exp_alerts"`
}

// shown is what the cases of one alert show.
type shown struct{ fires, staysQuiet, resolves bool }

// Each alert has a case in which it fires and ends again, and one in which it
// could be taken to fire and does not; where the tier chooses the severity,
// each severity fires and ends.
func TestEveryAlertHasItsCases(t *testing.T) {
	got := map[string]*shown{}
	at := func(name string) *shown {
		if got[name] == nil {
			got[name] = &shown{}
		}
		return got[name]
	}
	for _, evals := range cases(t) {
		for name, list := range evals {
			look(at, name, list)
		}
	}
	for _, r := range alerts(t) {
		want := shown{fires: true, staysQuiet: true, resolves: true}
		if r.Alert == "DeadMansSwitch" {
			want = shown{fires: true}
		}
		if all := *at(r.Alert); all != want {
			t.Errorf("%s: the cases show %+v, want %+v", r.Alert, all, want)
		}
		severities := []string{r.Labels["severity"]}
		if severities[0] == byTier {
			severities = []string{"critical", "warning", "info"}
		}
		for _, severity := range severities {
			if s := at(r.Alert + "/" + severity); !s.fires || s.resolves != want.resolves {
				t.Errorf("%s with severity %s: the cases show %+v", r.Alert, severity, *s)
			}
		}
	}
}

// look takes in the evaluations of one alert in one case.
func look(at func(string) *shown, name string, list []eval) {
	slices.SortFunc(list, func(a, b eval) int { return int(a.At - b.At) })
	before := map[string]bool{}
	for _, e := range list {
		now := map[string]bool{}
		for _, a := range e.Firing {
			now[a.Labels["severity"]] = true
			at(name).fires = true
			at(name + "/" + a.Labels["severity"]).fires = true
		}
		for severity := range before {
			if !now[severity] {
				at(name).resolves = true
				at(name + "/" + severity).resolves = true
			}
		}
		before = now
	}
	if !slices.ContainsFunc(list, func(e eval) bool { return len(e.Firing) > 0 }) {
		at(name).staysQuiet = true
	}
}

// cases are the evaluations of each case by alert.
func cases(t *testing.T) map[string]map[string][]eval {
	t.Helper()
	files, err := filepath.Glob("tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	all := map[string]map[string][]eval{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f caseFile
		if err := yaml.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i, c := range f.Tests {
			byAlert := map[string][]eval{}
			for _, e := range c.Evals {
				byAlert[e.Alert] = append(byAlert[e.Alert], e)
			}
			if c.Name == "" {
				t.Errorf("%s: the case %d has no name", file, i+1)
			}
			all[fmt.Sprintf("%s %d", file, i)] = byAlert
		}
	}
	return all
}
