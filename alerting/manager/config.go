package manager

import (
	_ "embed"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"context"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/common/model"
)

// DeadMan is the receiver of the dead man's switch, and DeadManAlert the name of
// the alert that always fires. It travels like every other alert, past
// silences and inhibition, and whoever delivers it must not show it to people.
const (
	DeadMan      = "collie-deadman"
	DeadManAlert = "DeadMansSwitch"
	deadManEvery = time.Minute
	// A flush comes a little early as often as late: what is told every minute
	// must be due for repetition by then.
	deadManRepeat = deadManEvery - 10*time.Second
)

// DefaultConfig is the configuration where there is none: all alerts, by name
// and severity, to the receiver "default", which tells the queue.
//
//go:embed default.yml
var DefaultConfig string

// LoadConfig reads an alertmanager.yml; an empty name means DefaultConfig.
func LoadConfig(name string) (*config.Config, error) {
	if name == "" {
		return config.Load(DefaultConfig)
	}
	c, err := config.LoadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// Receivers are the names of the receivers, and which of them tell the queue by
// a webhook of their own.
func Receivers(c *config.Config) map[string]bool {
	found := map[string]bool{}
	for _, r := range c.Receivers {
		found[r.Name] = slices.ContainsFunc(r.WebhookConfigs, IsHook)
	}
	return found
}

// CheckConfig says why a configuration could not be used.
func CheckConfig(c *config.Config) error {
	_, err := (&Manager{log: slog.New(slog.DiscardHandler)}).build(Settings{Config: c})
	return err
}

// built is all of a configuration that can go wrong.
type built struct {
	config       *config.Config
	routes       *dispatch.Route
	template     *template.Template
	integrations map[string][]notify.Integration
	intervals    map[string][]timeinterval.TimeInterval
}

func (m *Manager) build(s Settings) (*built, error) {
	c := withDeadMan(s.Config)
	tmpl, err := template.FromGlobs(c.Templates)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	tmpl.ExternalURL = m.o.ExternalURL
	b := &built{
		config: c, routes: dispatch.NewRoute(c.Route, nil), template: tmpl,
		integrations: map[string][]notify.Integration{}, intervals: map[string][]timeinterval.TimeInterval{},
	}
	used := map[string]bool{}
	b.routes.Walk(func(r *dispatch.Route) { used[r.RouteOpts.Receiver] = true })
	for _, r := range c.Receivers {
		if !used[r.Name] || r.Name == DeadMan {
			continue
		}
		if b.integrations[r.Name], err = m.integrations(r, s.Queued, tmpl); err != nil {
			return nil, err
		}
	}
	for _, i := range c.MuteTimeIntervals {
		b.intervals[i.Name] = i.TimeIntervals
	}
	for _, i := range c.TimeIntervals {
		b.intervals[i.Name] = i.TimeIntervals
	}
	return b, nil
}

// withDeadMan puts the route of the dead man's switch before all others.
func withDeadMan(c *config.Config) *config.Config {
	own := *c
	root := *c.Route
	wait, every, repeat := model.Duration(time.Second), model.Duration(deadManEvery), model.Duration(deadManRepeat)
	root.Routes = append([]*config.Route{{
		Receiver: DeadMan, GroupByStr: []string{model.AlertNameLabel}, GroupBy: []model.LabelName{model.AlertNameLabel},
		Matchers:  common.Matchers{mustMatch(model.AlertNameLabel, DeadManAlert)},
		GroupWait: &wait, GroupInterval: &every, RepeatInterval: &repeat,
	}}, c.Route.Routes...)
	own.Route = &root
	own.Receivers = append(slices.Clone(c.Receivers), config.Receiver{Name: DeadMan, Labels: map[string]string{"name": DeadMan}})
	return &own
}

func mustMatch(name, value string) *labels.Matcher {
	m, err := labels.NewMatcher(labels.MatchEqual, name, value)
	if err != nil {
		panic(err) // equality always compiles
	}
	return m
}

// stageOf is what a notification goes through. The dead man's switch takes a
// shorter way: nothing mutes it.
func (m *Manager) stageOf(b *built, inhibitor *inhibit.Inhibitor) notify.Stage {
	stages := m.pipeline.New(b.integrations, func() time.Duration { return 0 }, inhibitor, m.silences.silencer,
		timeinterval.NewIntervener(b.intervals), m.groups, m.journal, nil)
	recv := &nflogpb.Receiver{GroupName: DeadMan, Integration: integration}
	own := m.queueIntegration(DeadMan, 0, true)
	tell := notify.StageFunc(func(ctx context.Context, _ *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
		_, err := own.Notify(ctx, alerts...)
		return ctx, alerts, err
	})
	stages[DeadMan] = notify.MultiStage{notify.NewDedupStage(&own, m.journal, recv), tell, notify.NewSetNotifiesStage(m.journal, recv)}
	return stages
}
