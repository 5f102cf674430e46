package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/discord"
	"github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/alertmanager/notify/incidentio"
	"github.com/prometheus/alertmanager/notify/jira"
	"github.com/prometheus/alertmanager/notify/mattermost"
	"github.com/prometheus/alertmanager/notify/msteams"
	"github.com/prometheus/alertmanager/notify/msteamsv2"
	"github.com/prometheus/alertmanager/notify/opsgenie"
	"github.com/prometheus/alertmanager/notify/pagerduty"
	"github.com/prometheus/alertmanager/notify/pushover"
	"github.com/prometheus/alertmanager/notify/rocketchat"
	"github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/alertmanager/notify/telegram"
	"github.com/prometheus/alertmanager/notify/victorops"
	"github.com/prometheus/alertmanager/notify/webex"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/notify/wechat"
	"github.com/prometheus/alertmanager/template"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// HookPath ends the URL of a webhook that means Collie itself.
const HookPath = "/hook/alertmanager"

// integration is the name of our own way of telling in metrics and in the
// notification log.
const integration = "collie"

// IsHook reports whether a webhook means Collie.
func IsHook(c *webhook.WebhookConfig) bool {
	text := string(c.URL)
	if c.URLFile != "" {
		raw, err := os.ReadFile(c.URLFile)
		if err != nil {
			return false // told when it is used, as Alertmanager does
		}
		text = strings.TrimSpace(string(raw))
	}
	u, err := url.Parse(text)
	return err == nil && strings.HasSuffix(u.Path, HookPath)
}

// always implements notify.ResolvedSender.
type always bool

func (a always) SendResolved() bool { return bool(a) }

// integrations of one receiver: webhooks that mean Collie write to the queue,
// all others do what they say.
func (m *Manager) integrations(r config.Receiver, queued []string, tmpl *template.Template) ([]notify.Integration, error) {
	var list []notify.Integration
	others := r
	others.WebhookConfigs = nil
	for i, c := range r.WebhookConfigs {
		if !IsHook(c) {
			others.WebhookConfigs = append(others.WebhookConfigs, c)
			continue
		}
		list = append(list, m.queueIntegration(r.Name, i, c.SendResolved()))
	}
	if len(list) == 0 && slices.Contains(queued, r.Name) {
		list = append(list, m.queueIntegration(r.Name, 0, true))
	}
	ordinary, err := ordinary(others, tmpl, m.log)
	return append(list, ordinary...), err
}

func (m *Manager) queueIntegration(receiver string, idx int, resolved bool) notify.Integration {
	q := &queueNotifier{m: m, recv: &nflogpb.Receiver{GroupName: receiver, Integration: integration, Idx: uint32(idx)}}
	return notify.NewIntegration(q, always(resolved), integration, idx, receiver)
}

// queueNotifier implements notify.Notifier: it writes a notification and its
// entry of the notification log in one transaction.
type queueNotifier struct {
	m    *Manager
	recv *nflogpb.Receiver
}

// Notify implements notify.Notifier.
func (q *queueNotifier) Notify(ctx context.Context, alerts ...*alert.Alert) (again bool, err error) {
	group, ok := notify.GroupKey(ctx)
	if !ok {
		return false, errors.New("group key missing")
	}
	firing, _ := notify.FiringAlerts(ctx)
	resolved, _ := notify.ResolvedAlerts(ctx)
	repeat, _ := notify.RepeatInterval(ctx)
	id, _ := notify.NflogStore(ctx)
	before := q.m.journal.last(q.recv, group)
	what := q.m.notification(ctx, group, alerts, before)
	entry := q.m.journal.entry(q.recv, group, firing, resolved, before, 2*repeat)
	err = q.m.journal.commit(ctx, entry, id, func(tx *store.Tx) error { return q.m.o.Notifier.Enqueue(tx, what) })
	if err != nil {
		q.m.o.Notifier.Failed()
		return true, err
	}
	return false, nil
}

// notification holds of a group what its receiver does not know yet, or all
// that fires if it is to be said again.
func (m *Manager) notification(ctx context.Context, group string, alerts []*alert.Alert, before *nflogpb.Entry) notification.Notification {
	reason, _ := notify.NotificationReason(ctx)
	receiver, _ := notify.ReceiverName(ctx)
	labels, _ := notify.GroupLabels(ctx)
	what := notification.Notification{
		Version: "4", GroupKey: group, Receiver: receiver, GroupLabels: pairs(labels),
		ExternalURL: m.o.ExternalURL.String(), Reason: reason.String(),
	}
	var fired, over []uint64
	var nonce int64
	if before != nil {
		fired, over, nonce = before.GetFiringAlerts(), before.GetResolvedAlerts(), before.GetTimestamp().AsTime().UnixNano()
	}
	for _, a := range alerts {
		hash, now := toldHash(a.Labels), m.o.Now()
		told := notification.Alert{
			Status: string(signal.Firing), Labels: pairs(a.Labels), Annotations: pairs(a.Annotations), Nonce: nonce,
			StartsAt: a.StartsAt, GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint().String(),
		}
		switch {
		case a.ResolvedAt(now) && slices.Contains(over, hash):
			continue
		case a.ResolvedAt(now):
			told.Status, told.EndsAt = string(signal.Resolved), a.EndsAt
		case slices.Contains(fired, hash) && reason != notify.ReasonRepeatIntervalElapsed:
			continue
		default:
			told.Repeat = slices.Contains(fired, hash)
		}
		what.Alerts = append(what.Alerts, told)
	}
	return what
}

func pairs[K, V ~string](from map[K]V) map[string]string {
	to := make(map[string]string, len(from))
	for k, v := range from {
		to[string(k)] = string(v)
	}
	return to
}

// ordinary are Alertmanager's own integrations: what its package
// config/receiver builds, but for sns_configs.
func ordinary(r config.Receiver, tmpl *template.Template, log *slog.Logger) ([]notify.Integration, error) {
	b := &builder{receiver: r.Name, log: log}
	if len(r.SNSConfigs) > 0 {
		b.errs = append(b.errs, fmt.Errorf("receiver %s: sns_configs is not in this program; use webhook_configs", r.Name))
	}
	add(b, "webhook", r.WebhookConfigs, func(c *webhook.WebhookConfig, l *slog.Logger) (notify.Notifier, error) {
		return webhook.New(c, tmpl, l)
	})
	add(b, "email", r.EmailConfigs, func(c *config.EmailConfig, l *slog.Logger) (notify.Notifier, error) {
		return email.New(c, tmpl, l), nil
	})
	add(b, "pagerduty", r.PagerdutyConfigs, func(c *pagerduty.PagerdutyConfig, l *slog.Logger) (notify.Notifier, error) {
		return pagerduty.New(c, tmpl, l)
	})
	add(b, "opsgenie", r.OpsGenieConfigs, func(c *opsgenie.OpsGenieConfig, l *slog.Logger) (notify.Notifier, error) {
		return opsgenie.New(c, tmpl, l)
	})
	add(b, "wechat", r.WechatConfigs, func(c *config.WechatConfig, l *slog.Logger) (notify.Notifier, error) { return wechat.New(c, tmpl, l) })
	add(b, "slack", r.SlackConfigs, func(c *config.SlackConfig, l *slog.Logger) (notify.Notifier, error) { return slack.New(c, tmpl, l) })
	add(b, "victorops", r.VictorOpsConfigs, func(c *config.VictorOpsConfig, l *slog.Logger) (notify.Notifier, error) {
		return victorops.New(c, tmpl, l)
	})
	add(b, "pushover", r.PushoverConfigs, func(c *config.PushoverConfig, l *slog.Logger) (notify.Notifier, error) {
		return pushover.New(c, tmpl, l)
	})
	add(b, "telegram", r.TelegramConfigs, func(c *telegram.TelegramConfig, l *slog.Logger) (notify.Notifier, error) {
		return telegram.New(c, tmpl, l)
	})
	add(b, "discord", r.DiscordConfigs, func(c *discord.DiscordConfig, l *slog.Logger) (notify.Notifier, error) {
		return discord.New(c, tmpl, l)
	})
	add(b, "webex", r.WebexConfigs, func(c *config.WebexConfig, l *slog.Logger) (notify.Notifier, error) { return webex.New(c, tmpl, l) })
	add(b, "msteams", r.MSTeamsConfigs, func(c *msteams.MSTeamsConfig, l *slog.Logger) (notify.Notifier, error) {
		return msteams.New(c, tmpl, l)
	})
	add(b, "msteamsv2", r.MSTeamsV2Configs, func(c *msteamsv2.MSTeamsV2Config, l *slog.Logger) (notify.Notifier, error) {
		return msteamsv2.New(c, tmpl, l)
	})
	add(b, "jira", r.JiraConfigs, func(c *jira.JiraConfig, l *slog.Logger) (notify.Notifier, error) { return jira.New(c, tmpl, l) })
	add(b, "incidentio", r.IncidentioConfigs, func(c *incidentio.IncidentioConfig, l *slog.Logger) (notify.Notifier, error) {
		return incidentio.New(c, tmpl, l)
	})
	add(b, "rocketchat", r.RocketchatConfigs, func(c *config.RocketchatConfig, l *slog.Logger) (notify.Notifier, error) {
		return rocketchat.New(c, tmpl, l)
	})
	add(b, "mattermost", r.MattermostConfigs, func(c *mattermost.MattermostConfig, l *slog.Logger) (notify.Notifier, error) {
		return mattermost.New(c, tmpl, l)
	})
	return b.list, errors.Join(b.errs...)
}

type builder struct {
	receiver string
	log      *slog.Logger
	list     []notify.Integration
	errs     []error
}

func add[C notify.ResolvedSender](b *builder, name string, configs []C, build func(C, *slog.Logger) (notify.Notifier, error)) {
	for i, c := range configs {
		n, err := build(c, b.log.With("integration", name))
		if err != nil {
			b.errs = append(b.errs, fmt.Errorf("receiver %s, %s_configs[%d]: %w", b.receiver, name, i, err))
			continue
		}
		b.list = append(b.list, notify.NewIntegration(n, c, name, i, b.receiver))
	}
}
