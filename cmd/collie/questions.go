package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/colliehq/collie/ircbot"
	"github.com/colliehq/collie/ledger"
	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// questions answers people on IRC from the ledger and from alerting. The bot
// is made before alerting is, and asks only while both run.
type questions struct{ *wiring }

func (q questions) Status(ctx context.Context, name string) ([]ircbot.TargetStatus, error) {
	targets, err := q.targets(ctx, name)
	answer := make([]ircbot.TargetStatus, len(targets))
	for i, t := range targets {
		answer[i] = ircbot.TargetStatus{Name: t.Name, State: t.State, Since: t.Since}
		if t.State != signal.Up {
			answer[i].Reason = t.Reason
		}
	}
	return answer, err
}

func (q questions) targets(ctx context.Context, name string) ([]record.Target, error) {
	if name == "" {
		return q.ledger.Targets(ctx)
	}
	t, err := q.ledger.Target(ctx, name)
	if errors.Is(err, ledger.ErrNoTarget) {
		return nil, nil
	}
	return []record.Target{t}, err
}

func (q questions) Alerts(ctx context.Context) ([]ircbot.AlertStatus, error) {
	alerts, err := q.alerting.Alerts(ctx)
	answer := make([]ircbot.AlertStatus, len(alerts))
	for i, a := range alerts {
		answer[i] = ircbot.AlertStatus{
			Name: a.Name, Severity: a.Labels["severity"], Target: a.Labels["target"], Since: a.Started,
			Muted: len(a.SilencedBy)+len(a.InhibitedBy) > 0,
		}
	}
	return answer, err
}

// Why takes a bare word as the name of a target, as "collie why" does, or else
// of an alert.
func (q questions) Why(ctx context.Context, subject string) ([]string, error) {
	subjects := []string{subject}
	if !strings.Contains(subject, "/") {
		subjects = []string{signal.TargetSubject(subject), string(signal.KindAlert) + "/" + subject}
	}
	for _, s := range subjects {
		story, err := q.ledger.Why(ctx, s, time.Time{})
		if errors.Is(err, ledger.ErrNoSubject) || errors.Is(err, ledger.ErrNoTarget) {
			continue
		}
		return story.Brief(), err
	}
	return nil, nil
}
