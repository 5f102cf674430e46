package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/colliehq/collie/exporters"
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/config"
)

func (a *app) check(k *kingpin.Application) command {
	c := k.Command("check", "Check the configuration: one line for each mistake, exit code 1 if there is any.")
	output := outputFlag(c, "text", "json")
	return command{c, func(context.Context) error {
		set, done := a.exporters(slog.New(slog.DiscardHandler), nil)
		defer done()
		ok, err := config.Check(a.stdout, a.configFile, os.LookupEnv, set.Kinds(), *output)
		if err == nil && !ok {
			return errSaid
		}
		return err
	}}
}

func (a *app) probe(k *kingpin.Application) command {
	c := k.Command("probe", "Make one probe and show its log and its metrics; exit code 1 if it failed.")
	name := c.Arg("module", "Name of a module: a built-in one, one of the modules_file, or target/NAME, which is a configured target with its options.").Required().String()
	target := c.Arg("target", "What to probe: a URL, host:port, host, or what the module wants. A configured target has its own.").String()
	hostname := c.Flag("hostname", "Host header and TLS server name for a target that is an address.").PlaceHolder("NAME").String()
	timeout := c.Flag("timeout", "Time limit of the probe.").Default("30s").Duration()
	output := outputFlag(c, "text", "json")
	return command{c, func(ctx context.Context) error {
		return a.probeOnce(ctx, *name, *target, probe.CLIOptions{Output: *output, Hostname: *hostname, Timeout: *timeout})
	}}
}

func (a *app) probeOnce(ctx context.Context, name, target string, o probe.CLIOptions) error {
	set, done := a.exporters(slog.New(slog.DiscardHandler), nil)
	defer done()
	loaded, err := a.load(set.Kinds())
	if err != nil {
		return err
	}
	m, own, err := find(loaded, set.Kinds(), name)
	if err != nil {
		return err
	}
	if target = cmp.Or(target, own); target == "" {
		return fmt.Errorf("the target is missing: collie probe %s TARGET", name)
	}
	ok, err := probe.CLI(ctx, a.stdout, m, target, o)
	if err == nil && !ok {
		return errSaid
	}
	return err
}

// find is the module of that name, and what it looks at if it is a configured
// target.
func find(c *config.Config, kinds []probe.Kind, name string) (m probe.Module, target string, err error) {
	if exporters.IsTarget(name) {
		return c.Exporters.Named(name, c.Modules, kinds)
	}
	m, ok := module.Map(c.Modules)[name]
	if !ok {
		return m, "", fmt.Errorf("unknown module %q; known are %v, and target/NAME", name, names(c.Modules))
	}
	return m, "", nil
}

func names(modules []probe.Module) (list []string) {
	for _, m := range modules {
		list = append(list, m.Name)
	}
	return list
}

// outputFlag is --output with the formats that the command knows, the first
// being the default.
func outputFlag(c *kingpin.CmdClause, formats ...string) *string {
	return c.Flag("output", "Format of the answer: "+strings.Join(formats, ", ")+".").Default(formats[0]).Enum(formats...)
}
