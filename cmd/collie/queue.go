package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/colliehq/collie/internal/queue"
	queueclient "github.com/colliehq/collie/internal/queue/admin/client"
)

// queue is the group of commands that look into the queue.
func (a *app) queue(k *kingpin.Application) []command {
	c := k.Command("queue", "Look into the queue, and act on what was set aside for a person.")
	url := c.Flag("url", "Address of the running Collie.").Envar("COLLIE_URL").Default("http://127.0.0.1:9797").String()
	ask := func() *queueclient.Client {
		// No timeout: an export, and a redrive of many, take what they take.
		return &queueclient.Client{URL: strings.TrimSuffix(*url, "/"), HTTP: &http.Client{}, Color: terminal(a.stdout)}
	}
	return []command{a.queueStats(c, ask), a.queuePeek(c, ask), a.queueRedrive(c, ask), a.queueExport(c, ask)}
}

func (a *app) queueStats(k *kingpin.CmdClause, ask func() *queueclient.Client) command {
	c := k.Command("stats", "Show each subscription and how many messages stand where in it.")
	output := outputFlag(c, queueclient.Table, queueclient.JSON)
	return command{c, func(ctx context.Context) error { return ask().Stats(ctx, a.stdout, *output) }}
}

func (a *app) queuePeek(k *kingpin.CmdClause, ask func() *queueclient.Client) command {
	c := k.Command("peek", "Show messages of a subscription, oldest first, without taking them.")
	sub := subscriptionArg(c)
	var o queueclient.PeekOptions
	stateFlag(c, &o.State)
	c.Flag("limit", "How many, at most 1000.").Default("20").IntVar(&o.Limit)
	c.Flag("body", "Show the bodies too.").BoolVar(&o.Body)
	output := outputFlag(c, queueclient.Table, queueclient.JSON)
	return command{c, func(ctx context.Context) error {
		o.Output = *output
		return ask().Peek(ctx, a.stdout, *sub, o)
	}}
}

func (a *app) queueRedrive(k *kingpin.CmdClause, ask func() *queueclient.Client) command {
	c := k.Command("redrive", "Deliver parked and spilled messages again, with a fresh count of attempts.")
	sub := subscriptionArg(c)
	keys := c.Arg("key", "Only the messages with these keys; without any, all that are set aside.").Strings()
	output := outputFlag(c, queueclient.Table, queueclient.JSON)
	return command{c, func(ctx context.Context) error { return ask().Redrive(ctx, a.stdout, *sub, *keys, *output) }}
}

func (a *app) queueExport(k *kingpin.CmdClause, ask func() *queueclient.Client) command {
	c := k.Command("export", "Write every message of a subscription, one JSON object a line, with its body.")
	sub := subscriptionArg(c)
	var state string
	stateFlag(c, &state)
	return command{c, func(ctx context.Context) error { return ask().Export(ctx, a.stdout, *sub, state) }}
}

func subscriptionArg(c *kingpin.CmdClause) *string {
	return c.Arg("subscription", "Name of a subscription, as collie queue stats shows it.").Required().String()
}

func stateFlag(c *kingpin.CmdClause, state *string) {
	c.Flag("state", "Only those in this state: ready, delayed, leased, parked, spilled.").PlaceHolder("STATE").
		EnumVar(state, string(queue.Ready), string(queue.Delayed), string(queue.Leased), string(queue.Parked), string(queue.Spilled))
}
