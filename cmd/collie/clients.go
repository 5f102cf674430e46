package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/mattn/go-isatty"

	"github.com/colliehq/collie/ledger/client"
)

// clientTimeout bounds what a command waits for a running Collie.
const clientTimeout = 30 * time.Second

// client gives a command the flag --url and, once flags are read, a client.
func (a *app) client(c *kingpin.CmdClause) func() *client.Client {
	url := c.Flag("url", "Address of the running Collie.").
		Envar("COLLIE_URL").Default("http://127.0.0.1:9797").String()
	return func() *client.Client {
		return &client.Client{
			URL: strings.TrimSuffix(*url, "/"), HTTP: &http.Client{Timeout: clientTimeout}, Color: terminal(a.stdout),
		}
	}
}

func (a *app) status(k *kingpin.Application) command {
	c := k.Command("status", "Show each target: its state, since when, and why.")
	ask := a.client(c)
	output := outputFlag(c, client.Table, client.JSON)
	strict := c.Flag("check", "Exit with code 1 if an essential target is down.").Bool()
	return command{c, func(ctx context.Context) error {
		sum, err := ask().Status(ctx, a.stdout, client.StatusOptions{Output: *output})
		if err == nil && *strict && len(sum.EssentialDown) > 0 {
			return fmt.Errorf("essential targets are down: %s", strings.Join(sum.EssentialDown, ", "))
		}
		return err
	}}
}

func (a *app) downtimes(k *kingpin.Application) command {
	c := k.Command("downtimes", "Show the record of downtimes.")
	ask := a.client(c)
	var o client.DowntimesOptions
	c.Flag("since", "From then on: how long ago (30d, 12h), a date, or an RFC 3339 time.").Default(client.DefaultSince).StringVar(&o.Since)
	c.Flag("until", "Until then, in the same forms; now if it is left out.").PlaceHolder("TIME").StringVar(&o.Until)
	c.Flag("target", "Only of this target.").PlaceHolder("NAME").StringVar(&o.Target)
	c.Flag("by", "Instead of single downtimes, sums and availability of each calendar month.").PlaceHolder("month").EnumVar(&o.By, "month")
	c.Flag("tz", "Time zone whose months they are, as Europe/Prague; UTC if it is left out.").PlaceHolder("ZONE").StringVar(&o.Zone)
	output := outputFlag(c, client.Table, client.JSON, client.CSV)
	return command{c, func(ctx context.Context) error {
		o.Output = *output
		return ask().Downtimes(ctx, a.stdout, o)
	}}
}

func (a *app) why(k *kingpin.Application) command {
	c := k.Command("why", "Tell why a subject is as it is: what was seen, decided and delivered, in order.")
	ask := a.client(c)
	var o client.WhyOptions
	c.Arg("subject", "target/NAME; a bare word is the name of a target.").Required().StringVar(&o.Subject)
	c.Flag("since", "Tell from then on; without it, since the newest trouble.").PlaceHolder("TIME").StringVar(&o.Since)
	output := outputFlag(c, client.Text, client.JSON)
	return command{c, func(ctx context.Context) error {
		o.Output = *output
		return ask().Why(ctx, a.stdout, o)
	}}
}

// terminal reports whether what is written to w is read in a terminal that
// wants colours (https://no-color.org).
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
}
