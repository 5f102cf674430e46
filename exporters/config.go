package exporters

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/verdict"
)

// Config is what the exporters take from the configuration file; its keys
// stand at the top level.
type Config struct {
	Targets     []TargetConfig `yaml:"targets"`
	ModulesFile string         `yaml:"modules_file"` // blackbox_exporter's format; empty: only the built-in modules
	Probe       ProbeConfig    `yaml:"probe"`
}

// TargetConfig is one thing to look at: either probed, or a heartbeat.
type TargetConfig struct {
	Name      string           `yaml:"name"`                                                      // label target, subject target/NAME
	Probe     string           `yaml:"probe,omitempty" also:"module,check,type,prober"`           // a module
	Target    string           `yaml:"target,omitempty" also:"url,address,host,endpoint"`         // the address, as the module understands it
	Tier      string           `yaml:"tier,omitempty" also:"severity,priority,importance"`        // one of Tiers
	Provides  []string         `yaml:"provides,omitempty"`                                        // what others need of it
	Every     time.Duration    `yaml:"every,omitempty" also:"interval,period,frequency,schedule"` // from one probe to the next
	Timeout   time.Duration    `yaml:"timeout,omitempty"`                                         // of one probe; 0: see TimeLimit
	DownAfter verdict.Window   `yaml:"down_after,omitempty" also:"retries,failures,threshold"`    // failed results until it is down
	UpAfter   int              `yaml:"up_after,omitempty"`                                        // good results until it is up again
	DependsOn []string         `yaml:"depends_on,omitempty" also:"dependencies,needs,requires,depends"`
	With      yaml.Node        `yaml:"with,omitempty"` // options of the probe, instead of the module's
	Heartbeat *HeartbeatConfig `yaml:"heartbeat,omitempty"`
}

// HeartbeatConfig makes a target one that reports itself: it is down when
// nobody posts to /ping/NAME for Every and Grace.
type HeartbeatConfig struct {
	Every time.Duration `yaml:"every"`
	Grace time.Duration `yaml:"grace"`
}

// Silence is how long no ping may come before the target is down.
func (h HeartbeatConfig) Silence() time.Duration { return h.Every + h.Grace }

// ProbeConfig is how all probes are run.
type ProbeConfig struct {
	AdHoc       bool          `yaml:"ad_hoc"`      // /probe may look at targets that are not configured
	Concurrency int           `yaml:"concurrency"` // probes at once
	PerHost     int           `yaml:"per_host"`    // of them for one host
	Lease       time.Duration `yaml:"lease"`       // how often we say that we are looking
}

// Tiers lists what a target can be to the service: essential (its failure stops
// the service), necessary (must work some of the time), optional.
func Tiers() []string { return []string{"essential", "necessary", "optional"} }

// The defaults of what is left out.
const (
	defaultTier      = "necessary"
	defaultEvery     = 15 * time.Second
	defaultDownAfter = 3
	defaultGrace     = time.Minute
	longestProbe     = 10 * time.Second
	shortestEvery    = time.Second
	shortestLease    = time.Second
)

// DefaultConfig is the configuration without targets.
func DefaultConfig() Config {
	return Config{Probe: ProbeConfig{Concurrency: 256, PerHost: 4, Lease: 15 * time.Second}}
}

// SetDefaults fills in what a target leaves out; the decoder calls it for each.
func (t *TargetConfig) SetDefaults() {
	t.Tier, t.Every, t.UpAfter = defaultTier, defaultEvery, 1
	t.DownAfter = verdict.InRow(defaultDownAfter)
}

// SetDefaults fills in what a heartbeat leaves out; the decoder calls it.
func (h *HeartbeatConfig) SetDefaults() { h.Grace = defaultGrace }

// MarshalYAML leaves out how to probe what is not probed.
func (t TargetConfig) MarshalYAML() (any, error) {
	type shown TargetConfig // without this method
	if t.Heartbeat != nil {
		t.Every, t.DownAfter, t.UpAfter = 0, verdict.Window{}, 0
	}
	return shown(t), nil
}

// TimeLimit is how long one probe of the target may take: what the target says,
// else what the module says, else 10 s, and never more than 0.8 of the
// interval, so that a probe has ended when the next one is due.
func (t TargetConfig) TimeLimit(module time.Duration) time.Duration {
	limit := longestProbe
	switch {
	case t.Timeout > 0:
		limit = t.Timeout
	case module > 0:
		limit = module
	}
	return min(limit, t.Every*8/10)
}

func (t TargetConfig) rule() verdict.Rule {
	if t.Heartbeat != nil {
		return verdict.Rule{DownAfter: verdict.InRow(1), Silence: t.Heartbeat.Silence()}
	}
	return verdict.Rule{DownAfter: t.DownAfter, UpAfter: t.UpAfter}
}

// every is the interval at which something is known about the target.
func (t TargetConfig) every() time.Duration {
	if t.Heartbeat != nil {
		return t.Heartbeat.Every
	}
	return t.Every
}
