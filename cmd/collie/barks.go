package main

import (
	"context"
	"slices"

	"github.com/colliehq/collie/alerting"
	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/ircbot"
	"github.com/colliehq/collie/ircbot/words"
)

// pageBarks shows alerting and the IRC bot to the page.
type pageBarks struct {
	alerting *alerting.Alerting
	bot      *ircbot.Bot
}

func (b pageBarks) Alerts(ctx context.Context) ([]page.Alert, error) {
	alerts, err := b.alerting.Alerts(ctx)
	var shown []page.Alert
	for _, a := range alerts {
		if slices.Contains(a.Receivers, alerting.DeadMan) {
			continue
		}
		one := page.Alert{
			Name: a.Name, Fingerprint: a.Fingerprint, Labels: a.Labels, Annotations: a.Annotations,
			Started: a.Started, State: a.State, Receivers: a.Receivers, InhibitedBy: a.InhibitedBy,
		}
		for _, id := range a.SilencedBy {
			one.SilencedBy = append(one.SilencedBy, page.Silence{ID: id})
		}
		shown = append(shown, one)
	}
	return shown, err
}

func (b pageBarks) Networks() []page.IRCNetwork {
	var shown []page.IRCNetwork
	for _, n := range b.bot.State() {
		one := page.IRCNetwork{
			Name: n.Name, Server: n.Server, Nick: n.Nick, Connected: n.Connected, Since: n.Since, Error: n.Error,
			NextTry: n.NextTry, Queued: n.Queued, Sent: n.Sent, Folding: n.Folding, EchoAge: n.EchoAge,
		}
		for _, c := range n.Channels {
			one.Channels = append(one.Channels, page.IRCChannel(c))
		}
		shown = append(shown, one)
	}
	return shown
}

func (b pageBarks) Lines(ctx context.Context, limit int) ([]page.IRCLine, error) {
	lines, err := b.bot.Lines(ctx, limit)
	shown := make([]page.IRCLine, len(lines))
	for i, l := range lines {
		shown[i] = page.IRCLine{
			Network: l.Network, Channel: l.Channel, State: l.State, Method: l.Method, Tries: l.Tries,
			Subject: l.Subject, Text: l.Text, Accepted: l.Accepted, Done: l.Done,
			Heartbeat: l.Kind == string(words.Heartbeat),
		}
	}
	return shown, err
}
