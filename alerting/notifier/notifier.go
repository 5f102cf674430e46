package notifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// Notifier writes notifications to the queue.
type Notifier struct {
	source string
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
		source: source, store: s, log: log, now: now,
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
func (n *Notifier) Enqueue(tx *store.Tx, what Notification) error {
	if len(what.Alerts) == 0 {
		return nil
	}
	seq, err := n.sequence(tx, len(what.Alerts))
	if err != nil {
		return err
	}
	msgs := make([]queue.Message, 0, len(what.Alerts))
	for i, a := range what.Alerts {
		m, err := what.message(a, n.source, seq+uint64(i), n.now())
		if err != nil {
			// Nothing that comes later would make it valid.
			n.log.Error("an alert cannot be told", "alertname", a.Labels["alertname"], "err", err)
			continue
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

// sequence takes numbers that rise even if the clock is set back: milliseconds
// of the first use, counted up.
func (n *Notifier) sequence(tx *store.Tx, count int) (uint64, error) {
	var last int64
	err := tx.QueryRow(`INSERT INTO alerting_sequence (id, last) VALUES (1, ?)
		ON CONFLICT (id) DO UPDATE SET last = last + ? RETURNING last`, n.now().UnixMilli()+int64(count), count).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("number signals: %w", err)
	}
	return uint64(last-int64(count)) + 1, nil
}

// Failed counts a notification that will be tried again.
func (n *Notifier) Failed() { n.failed.Inc() }

// Redelivery is for how long a webhook of an outside Alertmanager that says
// nothing new is taken for one whose answer was lost. Later it is a repetition.
const Redelivery = time.Minute

// toldFor is how long is remembered what a webhook said.
const toldFor = 30 * 24 * time.Hour

// Receive writes the webhook of an outside Alertmanager: what is new in it, or
// all of it as a repetition.
func (n *Notifier) Receive(ctx context.Context, what Notification) error {
	err := n.store.Tx(ctx, func(tx *store.Tx) error {
		news, err := n.news(tx, what)
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

// news keeps of a notification what its receiver has to be told, and remembers
// it as told.
func (n *Notifier) news(tx *store.Tx, what Notification) (Notification, error) {
	var changed, repeated []Alert
	now := n.now()
	for _, a := range what.Alerts {
		known, err := n.known(tx, what, a)
		if err != nil {
			return what, err
		}
		switch {
		case known.status != a.Status || known.started != a.StartsAt.UnixNano():
			a.Nonce = known.told
			changed = append(changed, a)
		case a.Status == string(signal.Firing) && now.Sub(time.Unix(0, known.told)) >= Redelivery:
			a.Nonce, a.Repeat = known.told, true
			repeated = append(repeated, a)
		}
	}
	if what.Alerts = changed; len(changed) == 0 {
		what.Alerts = repeated
	}
	for _, a := range what.Alerts {
		_, err := tx.Exec(`INSERT INTO alerting_told (receiver, group_key, fingerprint, status, started, told) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (receiver, group_key, fingerprint) DO UPDATE SET status = excluded.status, started = excluded.started, told = excluded.told`,
			what.Receiver, what.GroupKey, a.Fingerprint, a.Status, a.StartsAt.UnixNano(), now.UnixNano())
		if err != nil {
			return what, fmt.Errorf("remember what was told: %w", err)
		}
	}
	return what, n.forget(tx, now)
}

func (n *Notifier) forget(tx *store.Tx, now time.Time) error {
	if _, err := tx.Exec(`DELETE FROM alerting_told WHERE told < ?`, now.Add(-toldFor).UnixNano()); err != nil {
		return fmt.Errorf("forget what was told: %w", err)
	}
	return nil
}

type known struct {
	status        string
	started, told int64
}

func (n *Notifier) known(tx *store.Tx, what Notification, a Alert) (k known, err error) {
	rows, err := tx.Query(`SELECT status, started, told FROM alerting_told WHERE receiver = ? AND group_key = ? AND fingerprint = ?`,
		what.Receiver, what.GroupKey, a.Fingerprint)
	if err != nil {
		return k, fmt.Errorf("read what was told: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(&k.status, &k.started, &k.told); err != nil {
			return k, fmt.Errorf("read what was told: %w", err)
		}
	}
	return k, rows.Err()
}
