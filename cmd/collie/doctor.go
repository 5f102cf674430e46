package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/colliehq/collie/internal/config"
	"github.com/colliehq/collie/internal/doctor"
	"github.com/colliehq/collie/webhook"
)

// doctorFlags are the flags of "collie doctor": those of "collie up" that say
// where things are.
type doctorFlags struct {
	listen  []string
	storage string
	output  string
}

func (a *app) doctor(k *kingpin.Application) command {
	c := k.Command("doctor", "Look for what would bite later: disk, space, permissions, clock, limits, ports, broker. Exit code 1 if something is bad.")
	var f doctorFlags
	c.Flag("storage.path", "Data directory, as given to collie up.").PlaceHolder("DIR").StringVar(&f.storage)
	c.Flag("web.listen-address", "Address as given to collie up; repeatable.").Default("127.0.0.1:9797").StringsVar(&f.listen)
	output := outputFlag(c, "text", "json")
	return command{c, func(ctx context.Context) error {
		f.output = *output
		return a.runDoctor(ctx, f)
	}}
}

func (a *app) runDoctor(ctx context.Context, f doctorFlags) error {
	colors := terminal(a.stdout)
	found := doctor.Run(ctx, a.checks(f, time.Now()), a.progress(colors && f.output == "text"))
	if colors && f.output == "text" {
		fmt.Fprint(a.stderr, "\r\x1b[K")
	}
	write := func() error { return doctor.WriteText(a.stdout, found, colors) }
	if f.output == "json" {
		write = func() error { return doctor.WriteJSON(a.stdout, found) }
	}
	if err := write(); err != nil {
		return err
	}
	if !doctor.Healthy(found) {
		return errSaid
	}
	return ctx.Err()
}

// progress tells on a terminal what is looked at, on a line that goes away.
func (a *app) progress(shown bool) func(string) {
	if !shown {
		return nil
	}
	return func(name string) { fmt.Fprintf(a.stderr, "\r\x1b[Klooking at: %s", name) }
}

func (a *app) checks(f doctorFlags, begin time.Time) []doctor.Check {
	set, done := a.exporters(slog.New(slog.DiscardHandler), nil)
	defer done()
	c, mistakes := a.load(set.Kinds())
	file := config.Find(a.configFile)
	dir := storagePath(f.storage)
	checks := []doctor.Check{
		doctor.Configuration(func() (string, error) { return file, mistakes }),
		doctor.Disk(dir), doctor.Space(dir), doctor.Permissions(dir, file), doctor.Clock(dir, begin), doctor.Files(),
	}
	for _, address := range f.listen {
		checks = append(checks, doctor.Port(address))
	}
	if mistakes != nil {
		return checks
	}
	if c.Webhooks.ListenAddress != "" || len(c.Webhooks.Hooks) > 0 {
		checks = append(checks, doctor.Port(cmp.Or(c.Webhooks.ListenAddress, webhook.DefaultAddress)))
	}
	if b := a.broker(c); b != nil {
		checks = append(checks, doctor.Topology(b))
	}
	return checks
}

// broker is how the doctor asks the broker, or nil if there is none. It compares
// what Collie declares in all roles with what is there.
func (a *app) broker(c *config.Config) doctor.Broker {
	if !c.Queue.Broker() {
		return nil
	}
	return func(ctx context.Context) ([]string, error) {
		return drift(ctx, c.Queue.RabbitMQ)
	}
}
