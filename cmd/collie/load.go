package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/local"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/config"
)

// kinds are what can be probed, and what gives back what they hold. reg may be
// nil.
func (a *app) kinds(reg prometheus.Registerer) ([]probe.Kind, func()) {
	log := slog.New(slog.DiscardHandler)
	l := local.New(local.Options{Log: log, Registry: reg})
	return slices.Concat(host.Kinds(), l.Kinds()), func() {
		if err := l.Close(); err != nil {
			log.Warn("close the helper for file systems", "err", err)
		}
	}
}

// load reads the configuration. Without a file this machine is watched: its
// file systems, its resolver, our own listener, and what this user may ping.
func (a *app) load(kinds []probe.Kind, own string) (*config.Config, error) {
	c, mistakes := config.Load(a.configFile, os.LookupEnv, kinds)
	if err := mistakes.Err(); err != nil {
		return nil, fmt.Errorf("the configuration is not accepted:\n%w", err)
	}
	return c, nil
}
