package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"

	"github.com/colliehq/collie/alerting"
	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/exporters"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/config"
	"github.com/colliehq/collie/internal/daemon"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/admin"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ircbot"
	"github.com/colliehq/collie/ledger"
	"github.com/colliehq/collie/webhook"
)

// drain is how long each stage may take to end.
const drain = 15 * time.Second

// upFlags are the flags of "collie up".
type upFlags struct {
	listen    []string
	webConfig string
	storage   string
}

func (a *app) up(k *kingpin.Application) command {
	c := k.Command("up", "Run every role in this process until stopped.")
	var f upFlags
	c.Flag("web.listen-address", "Address of the page, the API and the metrics; repeatable.").
		Default("127.0.0.1:9797").StringsVar(&f.listen)
	c.Flag("web.config.file", "TLS, client certificates, basic authentication and rate limit, in exporter-toolkit's format.").
		PlaceHolder("FILE").StringVar(&f.webConfig)
	c.Flag("storage.path", "Data directory. Without it $STATE_DIRECTORY, and where that is not set, ./data.").
		PlaceHolder("DIR").StringVar(&f.storage)
	return command{c, func(ctx context.Context) error { return a.runUp(ctx, f) }}
}

func (a *app) runUp(ctx context.Context, f upFlags) (err error) {
	log := promslog.New(&a.logging)
	mux := http.NewServeMux()
	server, err := daemon.NewServer(ctx, log.With("task", "http"), f.listen, f.webConfig, mux)
	if err != nil {
		return err
	}
	defer server.Close()
	reg := newRegistry()
	set, done := a.exporters(log.With("room", "exporters"), reg)
	defer done()
	w := &wiring{app: a, log: log, registry: reg, set: set, kinds: set.Kinds(), dir: storagePath(f.storage), url: server.URL()}
	w.machine = exporters.Machine{Listener: server.URL(), Locked: server.HasUsers(), Log: log.With("room", "exporters")}
	loaded, err := a.loadOrFind(ctx, w.kinds, w.machine)
	if err != nil {
		return err
	}
	w.running.Store(loaded)
	st, err := store.Open(ctx, store.Options{Dir: w.dir, Log: log.With("room", "store"), Registry: reg})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	w.store = st
	if w.messages, err = messagesOf(ctx, loaded.Queue, st, log.With("room", "queue"), reg); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer func() { err = errors.Join(err, w.messages.close()) }()
	group, err := w.assemble(ctx, mux, server)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, server.URL())
	log.Info("starting", "version", version.Info(), "config", loaded)
	return group.Run(ctx)
}

// storagePath is the data directory: the flag, what systemd gives, or ./data.
func storagePath(flag string) string {
	if flag != "" {
		return flag
	}
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir
	}
	return "data"
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("collie"))
	return reg
}

// wiring connects the rooms of one process.
type wiring struct {
	app      *app
	log      *slog.Logger
	registry *prometheus.Registry
	store    *store.Store
	dir, url string // the data directory; our own listener
	machine  exporters.Machine
	set      *exporters.Set
	kinds    []probe.Kind
	messages *messages
	running  atomic.Pointer[config.Config]
	exporter *exporters.Exporter
	ledger   *ledger.Ledger
	alerting *alerting.Alerting
	webhook  *webhook.Webhook
	bot      *ircbot.Bot
}

// assemble makes the rooms and the stages in which they run: what receives is
// started first and stopped last.
func (w *wiring) assemble(ctx context.Context, mux *http.ServeMux, server *daemon.Server) (*daemon.Group, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	admin.New(w.log.With("room", "queue"), w.messages.engines()...).Register(mux)
	if err := w.listeners(ctx, w.messages.shared, host); err != nil {
		return nil, err
	}
	if err := w.talkers(ctx, mux, host); err != nil {
		return nil, err
	}
	if w.webhook, err = webhook.New(ctx, webhook.Options{
		Config: w.running.Load().Webhooks, Store: w.store, Queue: w.messages.local, Registry: w.registry,
		Log: w.log.With("room", "webhook"), Source: "webhook/" + host,
	}); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	reload := daemon.NewReloader(w.log, w.registry, w.reload)
	group := daemon.NewGroup(w.log, drain,
		append([]daemon.Task{server, w.store.Guard()}, w.messages.tasks()...),
		[]daemon.Task{w.ledger, w.bot},
		w.probers(),
		[]daemon.Task{w.alerting, w.webhook.Mapper()},
		[]daemon.Task{w.webhook.Listener()},
		[]daemon.Task{daemon.NewSignals(w.log, reload.Reload)},
	)
	w.register(mux, daemon.Admin{
		Pending: group.Pending, Reload: reload.Reload, Config: func() ([]byte, error) { return w.running.Load().Show() },
		Metrics: promhttp.InstrumentMetricHandler(w.registry, promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{
			EnableOpenMetrics: true, ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelError),
		})),
	})
	return group, nil
}

// probers is what looks: the exporter role, and what works between its probes.
func (w *wiring) probers() []daemon.Task {
	tasks := []daemon.Task{w.exporter}
	for _, b := range w.set.Background() {
		tasks = append(tasks, b)
	}
	return tasks
}

// listeners makes the rooms that receive signals: they declare their
// subscriptions before anybody publishes.
func (w *wiring) listeners(ctx context.Context, queue queue.Queue, host string) (err error) {
	c := w.running.Load()
	if w.ledger, err = ledger.New(ledger.Options{
		Config: c.Ledger, Store: w.store, Queue: queue, Registry: w.registry, Log: w.log.With("room", "ledger"),
	}); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if w.bot, err = ircbot.New(ctx, ircbot.Options{
		Config: c.IRC, Store: w.store, Queue: queue, Registry: w.registry, Log: w.log.With("room", "ircbot"),
		Source: "ircbot/" + host, Questions: questions{w}, MoreURL: w.url,
	}); err != nil {
		return fmt.Errorf("ircbot: %w", err)
	}
	return nil
}

// talkers makes the rooms that publish signals.
func (w *wiring) talkers(ctx context.Context, mux *http.ServeMux, host string) (err error) {
	c := w.running.Load()
	if w.exporter, err = exporters.New(ctx, exporters.Options{
		Config: c.Exporters, Modules: c.Modules, Kinds: w.kinds, Store: w.store, Registry: w.registry,
		Log: w.log.With("room", "exporters"), Source: "exporter/" + host,
	}); err != nil {
		return fmt.Errorf("exporters: %w", err)
	}
	w.set.S3.Keep(w.exporter.Checkpoints())
	if w.alerting, err = alerting.New(ctx, alerting.Options{
		Config: c.Alerting, Store: w.store, Registry: w.registry, Gatherer: w.registry, Listener: w.url, Self: mux,
		Dir: filepath.Join(w.dir, "alerting"), Log: w.log.With("room", "alerting"), Source: "alerting/" + host,
	}); err != nil {
		return fmt.Errorf("alerting: %w", err)
	}
	return nil
}

func (w *wiring) register(mux *http.ServeMux, admin daemon.Admin) {
	admin.Register(mux)
	w.ledger.Register(mux)
	w.exporter.Register(mux)
	w.alerting.Register(mux)
	page.New(page.Options{Source: pageSource{w.ledger}, Barks: pageBarks{w.alerting, w.bot}, Version: version.Version, Log: w.log.With("room", "page")}).Register(mux)
}

// reload applies the configuration anew, or changes nothing and says why.
func (w *wiring) reload(ctx context.Context) error {
	next, err := w.app.loadOrFind(ctx, w.kinds, w.machine)
	if err != nil {
		return err
	}
	if err := w.exporter.Reload(ctx, next.Exporters, next.Modules); err != nil {
		return err
	}
	if err := w.alerting.Reload(ctx, next.Alerting); err != nil {
		return err
	}
	if err := w.webhook.Reload(ctx, next.Webhooks); err != nil {
		return err
	}
	w.ledger.Reload(next.Ledger)
	w.bot.Reload(next.IRC)
	w.running.Store(next)
	return nil
}
