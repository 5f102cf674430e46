package alerting

import (
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/alerting/engine"
	"github.com/colliehq/collie/alerting/manager"
)

// The scrape jobs of ourselves.
const (
	selfJob    = "collie"
	targetsJob = "collie-targets"
)

var lineNumbers = regexp.MustCompile(`\s*(yaml: )?(unmarshal errors:)?\s*line \d+:\s*|^yaml: (unmarshal errors:)?\s*`)

// scrapeFile is the part of prometheus.yml that we write.
type scrapeFile struct {
	Global  map[string]string `yaml:"global"`
	Scrapes []any             `yaml:"scrape_configs"`
}

// prometheusConfig makes Prometheus' configuration: our own jobs and those of
// the user. Prometheus itself fills in defaults, so it is made as text.
func (c Config) prometheusConfig(self *url.URL, instance string, log *slog.Logger) (*promconfig.Config, error) {
	f := scrapeFile{Global: map[string]string{
		"scrape_interval": c.ScrapeInterval.String(), "scrape_timeout": min(c.ScrapeInterval, 10*time.Second).String(),
		"evaluation_interval": c.EvaluationInterval.String(),
	}}
	if self != nil {
		f.Scrapes = append(f.Scrapes, c.ownJob(self, instance, selfJob, "/metrics", c.ScrapeInterval),
			c.ownJob(self, instance, targetsJob, "/targets/metrics", min(c.ScrapeInterval, verdictEvery)))
	}
	if c.ScrapeConfigs.Kind != 0 {
		var own []any
		if err := c.ScrapeConfigs.Decode(&own); err != nil {
			return nil, fmt.Errorf("scrape_configs: %w", err)
		}
		f.Scrapes = append(f.Scrapes, own...)
	}
	text, err := yaml.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("scrape_configs: %w", err)
	}
	loaded, err := promconfig.Load(string(text), log)
	if err != nil {
		// The lines are those of our text, which nobody sees.
		return nil, fmt.Errorf("scrape_configs: %s", strings.TrimSpace(lineNumbers.ReplaceAllString(err.Error(), " ")))
	}
	loaded.SetDirectory(c.Folder)
	return loaded, nil
}

func (c Config) ownJob(self *url.URL, instance, name, path string, every time.Duration) map[string]any {
	job := map[string]any{
		"job_name": name, "scheme": self.Scheme, "metrics_path": path,
		"scrape_interval": every.String(), "scrape_timeout": every.String(),
		// An alert is the same one after we moved to another port.
		"static_configs": []any{map[string]any{"targets": []string{self.Host}, "labels": map[string]string{"instance": instance}}},
	}
	if name == targetsJob {
		job["honor_labels"] = true // the target's own names, as on its signals
	}
	if self.Scheme == "https" {
		// We talk to ourselves, over an address of this machine.
		job["tls_config"] = map[string]any{"insecure_skip_verify": true}
	}
	return job
}

// ruleFiles are the names of all rule files: the shipped ones and what the
// patterns of the user find.
func (c Config) ruleFiles() ([]string, error) {
	files := engine.Shipped()
	for i, pattern := range c.RuleFiles {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("rule_files[%d]: %q is no pattern: %w", i, pattern, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("rule_files[%d]: no file is called %s", i, pattern)
		}
		files = append(files, found...)
	}
	return files, nil
}

func (c Config) engineSettings(self *url.URL, instance string, log *slog.Logger) (engine.Settings, error) {
	files, err := c.ruleFiles()
	if err != nil {
		return engine.Settings{}, err
	}
	loaded, err := c.prometheusConfig(self, instance, log)
	if err != nil {
		return engine.Settings{}, err
	}
	return engine.Settings{
		Retention:  engine.Retention{Time: c.Retention, Size: int64(c.RetentionSize)},
		Evaluation: c.EvaluationInterval, Config: loaded, RuleFiles: files,
	}, nil
}

func (c Config) managerSettings() (manager.Settings, error) {
	loaded, err := manager.LoadConfig(c.ConfigFile)
	if err != nil {
		return manager.Settings{}, fmt.Errorf("config_file: %w", err)
	}
	return manager.Settings{Config: loaded, Queued: c.Queued}, nil
}
