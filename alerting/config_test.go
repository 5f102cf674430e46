package alerting

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
)

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yml")
	write(t, bad, "groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]\n")
	for name, tt := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"default":      {func(*Config) {}, nil},
		"no rule file": {func(c *Config) { c.RuleFiles = []string{"/nowhere/*.yml"} }, []string{"rule_files[0]: no file is called /nowhere/*.yml"}},
		"bad rule":     {func(c *Config) { c.RuleFiles = []string{bad} }, []string{"rule_files[0]: " + bad}},
		"no config":    {func(c *Config) { c.ConfigFile = "/nowhere.yml" }, []string{"config_file: /nowhere.yml: open"}},
		"bad config":   {func(c *Config) { c.ConfigFile = bad }, []string{"config_file: " + bad}},
		"urls": {func(c *Config) {
			c.PrometheusURL, c.AlertmanagerURLs, c.ExternalURL = "x", []string{"http://a", "b:1"}, "/"
		}, []string{"prometheus_url: ", "alertmanager_urls[1]: ", "external_url: "}},
		"short":         {func(c *Config) { c.Retention, c.ScrapeInterval, c.EvaluationInterval = 0, time.Millisecond, 0 }, []string{"retention: 0s is too short", "scrape_interval: 1ms", "evaluation_interval: 0s"}},
		"scrape config": {func(c *Config) { c.ScrapeConfigs = node("[{job_name: a, scrape_intervall: 5s}]") }, []string{"scrape_configs: field scrape_intervall not found"}},
		"own job name":  {func(c *Config) { c.ScrapeConfigs = node("[{job_name: collie}]") }, []string{`scrape_configs: found multiple scrape configs with job name "collie"`}},
	} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConfig()
			tt.change(&c)
			var told []string
			c.Validate(func(path, format string, args ...any) { told = append(told, path+": "+fmt.Sprintf(format, args...)) })
			if len(told) != len(tt.want) {
				t.Fatalf("told %q, want %q", told, tt.want)
			}
			for i := range told {
				if !strings.HasPrefix(told[i], tt.want[i]) {
					t.Errorf("told %q, want %q", told[i], tt.want[i])
				}
			}
		})
	}
}

func node(text string) yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	return *doc.Content[0]
}

// The section is read by Collie's own decoder, and its scrape jobs by
// Prometheus.
func TestConfigIsDecoded(t *testing.T) {
	doc := strictyaml.Parse([]byte(`
retention: 7d
retention_size: 512MB
scrape_interval: 10s
rule_files: [a.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["h:9100"]}]
`), func(line int, path, msg string) { t.Errorf("%d %s %s", line, path, msg) })
	c := DefaultConfig()
	strictyaml.Decode(doc, &c, func(line int, path, msg string) { t.Errorf("%d %s %s", line, path, msg) })
	want := DefaultConfig()
	want.Retention, want.RetentionSize, want.ScrapeInterval, want.RuleFiles = 7*24*time.Hour, 512<<20, 10*time.Second, []string{"a.yml"}
	want.ScrapeConfigs = c.ScrapeConfigs
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	c.Folder = "/etc/collie"
	loaded, err := c.prometheusConfig(nil, "", nil)
	if err != nil || len(loaded.ScrapeConfigs) != 1 || loaded.ScrapeConfigs[0].JobName != "node" || time.Duration(loaded.ScrapeConfigs[0].ScrapeInterval) != 10*time.Second {
		t.Errorf("%+v, %v", loaded, err)
	}
}
