package alerting

import (
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/alerting/engine"
	"github.com/colliehq/collie/alerting/manager"
)

// Validate tells every mistake: a path inside of the section, and what is wrong.
// It reads the files that the section names.
func (c Config) Validate(bad func(path, format string, args ...any)) {
	c.validateURLs(bad)
	for _, d := range []struct {
		path string
		is   time.Duration
		min  time.Duration
	}{
		{"retention", c.Retention, time.Hour}, {"scrape_interval", c.ScrapeInterval, shortestInterval},
		{"evaluation_interval", c.EvaluationInterval, shortestInterval},
	} {
		if d.is < d.min {
			bad(d.path, "%s is too short; it must be %s or more", d.is, d.min)
		}
	}
	if c.RetentionSize < 0 {
		bad("retention_size", "is below 0; write 0 for no limit")
	}
	c.validateRules(bad)
	self := &url.URL{Scheme: "http", Host: "localhost"} // our own jobs, whose names are taken
	if _, err := c.prometheusConfig(self, "", slog.New(slog.DiscardHandler)); err != nil {
		bad("scrape_configs", "%s", strings.TrimPrefix(err.Error(), "scrape_configs: "))
	}
	c.validateManager(bad)
}

func (c Config) validateURLs(bad func(path, format string, args ...any)) {
	check := func(path, text string) {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad(path, "%q is no URL; write for example http://host:9090", text)
		}
	}
	if c.PrometheusURL != "" {
		check("prometheus_url", c.PrometheusURL)
	}
	for i, u := range c.AlertmanagerURLs {
		check("alertmanager_urls["+strconv.Itoa(i)+"]", u)
	}
	if c.ExternalURL != "" {
		check("external_url", c.ExternalURL)
	}
}

func (c Config) validateRules(bad func(path, format string, args ...any)) {
	for i, pattern := range c.RuleFiles {
		path := "rule_files[" + strconv.Itoa(i) + "]"
		found, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			bad(path, "%q is no pattern: %v", pattern, err)
		case len(found) == 0:
			bad(path, "no file is called %s", pattern)
		}
		for _, name := range found {
			_, errs := engine.LoadRules(name, false)
			for _, err := range errs {
				bad(path, "%v", err)
			}
		}
	}
}

func (c Config) validateManager(bad func(path, format string, args ...any)) {
	s, err := c.managerSettings()
	if err == nil {
		err = manager.CheckConfig(s.Config)
	}
	if err != nil {
		bad("config_file", "%s", strings.TrimPrefix(err.Error(), "config_file: "))
	}
}

// Unreached are those of the names, of receivers that irc shows, to which no
// alert can come: the alertmanager.yml does not have them. Added are those that
// reach the queue only because Collie adds it to them. Nothing is known of
// outside Alertmanagers.
func (c Config) Unreached(names []string) (unreached, added []string) {
	s, err := c.managerSettings()
	if err != nil || !c.embedsAlertmanager() {
		return nil, nil
	}
	known := manager.Receivers(s.Config)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		hook, ok := known[name]
		switch {
		case !ok && name != manager.DeadMan:
			unreached = append(unreached, name)
		case ok && !hook:
			added = append(added, name)
		}
	}
	return unreached, added
}
