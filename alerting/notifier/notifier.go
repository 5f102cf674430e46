// Package notifier writes what Alertmanager tells a receiver to the queue.
// Notifications of the embedded Alertmanager and webhooks of outside ones take
// the same way here.
package notifier

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// Notifier writes notifications to the queue.
type Notifier struct {
	source string
	memory notification.Memory
	store  *store.Store
	log    *slog.Logger
	now    func() time.Time
	told   *prometheus.CounterVec
	failed prometheus.Counter
}

// New makes a notifier. Source is "alerting/HOST", in all signals.
func New(s *store.Store, source string, log *slog.Logger, reg prometheus.Registerer, now func() time.Time) *Notifier {
	f := promauto.With(reg)
	n := &Notifier{
		source: source, memory: notification.Memory{Told: "alerting_told", Sequence: "alerting_sequence", Now: now},
		store: s, log: log, now: now,
		told: f.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_alerting_alerts_told_total", Help: "Alerts that were written to the queue for people and programs, by status.",
		}, []string{"status"}),
		failed: f.NewCounter(prometheus.CounterOpts{
			Name: "collie_alerting_notifications_failed_total", Help: "Notifications that could not be written to the queue and were tried again.",
		}),
	}
	for _, status := range []signal.Status{signal.Firing, signal.Resolved} {
		n.told.WithLabelValues(string(status))
	}
	return n
}

// Enqueue writes the alerts of a notification as signals, in the caller's
// transaction.
func (n *Notifier) Enqueue(tx *store.Tx, what notification.Notification) error {
	if len(what.Alerts) == 0 {
		return nil
	}
	seq, err := n.memory.Number(tx, len(what.Alerts))
	if err != nil {
		return err
	}
	msgs := make([]queue.Message, 0, len(what.Alerts))
	for i, a := range what.Alerts {
		s, err := what.Signal(a, n.source, seq+uint64(i), n.now())
		if err != nil {
			// Nothing that comes later would make it valid.
			n.log.Error("an alert cannot be told", "alertname", a.Labels["alertname"], "err", err)
			continue
		}
		m, err := notification.Message(s)
		if err != nil {
			return err
		}
		msgs = append(msgs, m)
	}
	if err := tx.Enqueue(msgs...); err != nil {
		return fmt.Errorf("tell %s: %w", what.Receiver, err)
	}
	tx.OnCommit(func() {
		for _, a := range what.Alerts {
			n.told.WithLabelValues(a.Status).Inc()
		}
	})
	return nil
}

// Failed counts a notification that will be tried again.
func (n *Notifier) Failed() { n.failed.Inc() }

// Receive writes the webhook of an outside Alertmanager: what is new in it, or
// all of it as a repetition.
func (n *Notifier) Receive(ctx context.Context, what notification.Notification) error {
	err := n.store.Tx(ctx, func(tx *store.Tx) error {
		news, err := n.memory.News(tx, what)
		if err != nil {
			return err
		}
		return n.Enqueue(tx, news)
	})
	if err != nil {
		n.Failed()
		return fmt.Errorf("take webhook of %s: %w", what.Receiver, err)
	}
	return nil
}
