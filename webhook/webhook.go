// Package webhook takes deliveries of others: it proves where each is from,
// makes it durable before it is acknowledged, and turns it into signals after
// that. It listens apart from everything else that Collie serves.
package webhook

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options of the room. All are needed but Now.
type Options struct {
	Config   Config
	Store    *store.Store
	Queue    queue.Queue // the one on the store, whatever signals travel on
	Registry prometheus.Registerer
	Log      *slog.Logger
	Source   string           // "webhook/HOST", of all signals
	Now      func() time.Time // nil: time.Now
}

// Webhook is the room. Listener and Mapper are its tasks.
type Webhook struct {
	store   *store.Store
	queue   queue.Queue
	log     *slog.Logger
	source  string
	now     func() time.Time
	memory  notification.Memory
	metrics *metrics
	load    load

	limits   atomic.Pointer[Limits]
	hooks    atomic.Pointer[map[string]*hook]
	reload   sync.Mutex
	listener *Listener
	mapper   *Mapper
}

var _ http.Handler = (*Webhook)(nil)

// New reads the secrets of the hooks, listens, and declares the spool.
func New(ctx context.Context, o Options) (*Webhook, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Webhook{
		store: o.Store, queue: o.Queue, log: o.Log, source: o.Source, now: o.Now,
		memory: notification.Memory{Told: "webhook_told", Sequence: "webhook_sequence", Now: o.Now},
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := o.Store.Migrate(ctx, "webhook", files); err != nil {
		return nil, err
	}
	w.metrics = newMetrics(o.Registry, &w.load)
	w.mapper = newMapper(w)
	if w.listener, err = newListener(ctx, w, o.Config); err != nil {
		return nil, err
	}
	if err := w.apply(ctx, o.Config); err != nil {
		w.listener.close()
		return nil, err
	}
	return w, nil
}

// Listener is the task that takes deliveries.
func (w *Webhook) Listener() *Listener { return w.listener }

// Mapper is the task that turns what was taken into signals.
func (w *Webhook) Mapper() *Mapper { return w.mapper }

// Reload applies a configuration anew, secrets included, or changes nothing and
// says why. Deliveries that are being answered are not disturbed.
func (w *Webhook) Reload(ctx context.Context, c Config) error {
	w.reload.Lock()
	defer w.reload.Unlock()
	change, err := w.listener.prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := w.apply(ctx, c); err != nil {
		change.drop()
		return err
	}
	w.listener.apply(change)
	return nil
}

// apply makes hooks of a configuration, and then serves them.
func (w *Webhook) apply(ctx context.Context, c Config) error {
	hooks := map[string]*hook{}
	for _, one := range c.Hooks {
		h, err := newHook(one)
		if err != nil {
			return err
		}
		hooks[one.Name] = h
	}
	if err := w.queue.Declare(ctx, queue.Subscription{Topic: Topic, Name: Subscription, Limit: c.Limits.Waiting, OnFull: queue.Refuse}); err != nil {
		return fmt.Errorf("declare the spool of deliveries: %w", err)
	}
	last, err := w.known(ctx, hooks)
	if err != nil {
		return err
	}
	old := w.current()
	for name, h := range hooks {
		h.last = new(atomic.Int64)
		h.last.Store(last[name])
		if before := old[name]; before != nil {
			h.last = before.last
		}
		h.metrics = w.metrics.begin(h, time.Unix(0, h.last.Load()))
	}
	limits := c.Limits
	w.limits.Store(&limits)
	w.hooks.Store(&hooks)
	for name := range old {
		if hooks[name] == nil {
			w.metrics.end(name)
		}
	}
	return nil
}

// current are the hooks that are served.
func (w *Webhook) current() map[string]*hook {
	if p := w.hooks.Load(); p != nil {
		return *p
	}
	return nil
}

func (w *Webhook) hook(name string) *hook { return w.current()[name] }

// known says when each hook was posted to last, and begins with the ones that
// are new.
func (w *Webhook) known(ctx context.Context, hooks map[string]*hook) (last map[string]int64, err error) {
	last = map[string]int64{}
	err = w.store.Tx(ctx, func(tx *store.Tx) error {
		for name := range maps.Keys(hooks) {
			var at int64
			err := tx.QueryRow(`INSERT INTO webhook_hooks (name, since, last) VALUES (?, ?, ?)
				ON CONFLICT (name) DO UPDATE SET last = last RETURNING last`, name, w.now().UnixNano(), w.now().UnixNano()).Scan(&at)
			if err != nil {
				return fmt.Errorf("read what is known of hook %s: %w", name, err)
			}
			last[name] = at
		}
		return nil
	})
	return last, err
}

// seen remembers a delivery with a good proof as a sign of life.
func (h *hook) seen(at time.Time) {
	for {
		known := h.last.Load()
		if at.UnixNano() <= known {
			return
		}
		if h.last.CompareAndSwap(known, at.UnixNano()) {
			h.metrics.last.Set(seconds(at))
			return
		}
	}
}
