package alerting

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/size"
)

// Config is the section "alerting" of the configuration file.
type Config struct {
	// RuleFiles are names or patterns of Prometheus rule files, beside the
	// shipped rules.
	RuleFiles []string `yaml:"rule_files"`
	// ConfigFile is an alertmanager.yml; empty means manager.DefaultConfig.
	ConfigFile string `yaml:"config_file"`
	// PrometheusURL is an outside Prometheus that scrapes and evaluates. The
	// embedded one is not started then.
	PrometheusURL string `yaml:"prometheus_url"`
	// AlertmanagerURLs are outside Alertmanagers. The embedded one is not
	// started then; they are to post to /hook/alertmanager.
	AlertmanagerURLs []string `yaml:"alertmanager_urls"`

	Retention          time.Duration `yaml:"retention"`      // of samples
	RetentionSize      size.Bytes    `yaml:"retention_size"` // of blocks of samples; 0 means no limit
	ScrapeInterval     time.Duration `yaml:"scrape_interval"`
	EvaluationInterval time.Duration `yaml:"evaluation_interval"`
	// ScrapeConfigs are further scrape jobs, in Prometheus' format.
	ScrapeConfigs yaml.Node `yaml:"scrape_configs,omitempty"`
	// ExternalURL is how people reach this Collie, for links; empty means the
	// address that it listens on.
	ExternalURL string `yaml:"external_url"`

	// Queued are receivers that must reach the queue although their
	// alertmanager.yml does not say so: those that irc names.
	Queued []string `yaml:"-"`
	// Folder is where relative names in scrape_configs begin.
	Folder string `yaml:"-"`
}

// The defaults of what is left out.
const (
	defaultRetention     = 15 * 24 * time.Hour
	defaultRetentionSize = 2 << 30
	defaultScrape        = 15 * time.Second
	defaultEvaluation    = 5 * time.Second
	shortestInterval     = 100 * time.Millisecond
	// verdictEvery is how often the states of targets are scraped at least:
	// rules see them no sooner.
	verdictEvery = 5 * time.Second
)

// DefaultConfig is the configuration of the embedded engines.
func DefaultConfig() Config {
	return Config{
		Retention: defaultRetention, RetentionSize: defaultRetentionSize,
		ScrapeInterval: defaultScrape, EvaluationInterval: defaultEvaluation,
	}
}

func (c Config) embedsPrometheus() bool   { return c.PrometheusURL == "" }
func (c Config) embedsAlertmanager() bool { return len(c.AlertmanagerURLs) == 0 }
