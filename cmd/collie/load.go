package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/config"
)

// exporters are what can be probed; what is returned beside gives back what they
// hold. reg may be nil.
func (a *app) exporters(log *slog.Logger, reg prometheus.Registerer) (*exporters.Set, func()) {
	set := exporters.NewSet(exporters.SetOptions{Log: log, Registry: reg})
	return set, func() {
		if err := set.Close(); err != nil {
			log.Warn("close the exporters", "err", err)
		}
	}
}

// load reads the configuration; a wrong one is told as one error.
func (a *app) load(kinds []probe.Kind) (*config.Config, error) {
	c, mistakes := config.Load(a.configFile, os.LookupEnv, kinds)
	if err := mistakes.Err(); err != nil {
		return nil, fmt.Errorf("the configuration is not accepted:\n%w", err)
	}
	return c, nil
}

// loadOrFind reads the configuration; without a file it finds what to watch on
// this machine: its file systems, its resolvers, our own listener, and what
// this user may ping.
func (a *app) loadOrFind(ctx context.Context, kinds []probe.Kind, m exporters.Machine) (*config.Config, error) {
	c, err := a.load(kinds)
	if err == nil && c.File == "" {
		m.Modules = c.Modules
		c.Exporters.Targets = exporters.DefaultTargets(ctx, m)
	}
	return c, err
}
