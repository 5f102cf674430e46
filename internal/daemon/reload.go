package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Reloader applies a new configuration, one at a time, and remembers whether
// the last one was accepted. A refused one changes nothing.
type Reloader struct {
	mu      sync.Mutex
	apply   func(context.Context) error
	log     *slog.Logger
	success prometheus.Gauge
	at      prometheus.Gauge
}

// NewReloader makes a reloader around apply, which loads, checks and applies
// the configuration or changes nothing and says why. The configuration that
// the program started with counts as the first success.
func NewReloader(log *slog.Logger, reg prometheus.Registerer, apply func(context.Context) error) *Reloader {
	f := promauto.With(reg)
	r := &Reloader{
		apply: apply, log: log,
		success: f.NewGauge(prometheus.GaugeOpts{
			Name: "collie_config_last_reload_successful", Help: "Whether the last configuration reload was accepted.",
		}),
		at: f.NewGauge(prometheus.GaugeOpts{
			Name: "collie_config_last_reload_success_timestamp_seconds", Help: "Unix time of the last accepted configuration.",
		}),
	}
	r.accepted()
	return r
}

func (r *Reloader) accepted() {
	r.success.Set(1)
	r.at.Set(float64(time.Now().UnixNano()) / 1e9)
}

// Reload applies the configuration anew. The error is logged here and returned
// for whoever asked.
func (r *Reloader) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.apply(ctx); err != nil {
		r.success.Set(0)
		r.log.Error("the new configuration was refused, the old one keeps running", "err", err)
		return err
	}
	r.accepted()
	r.log.Info("configuration reloaded")
	return nil
}
