package manager

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/provider"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/common/model"
	"maps"
	"slices"

	"github.com/colliehq/collie/internal/store"
)

// Alerts are the alerts that Alertmanager knows, in memory as it wants them,
// and in the store for the time after a crash. It implements provider.Alerts.
type Alerts struct {
	*mem.Alerts
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	mu       sync.Mutex
	saved    map[model.Fingerprint]savedAlert
	restored []*alert.Alert
}

// savedAlert is what of an alert is in the store, as far as a change of it is
// worth writing.
type savedAlert struct {
	started  int64
	resolved bool
}

var _ provider.Alerts = (*Alerts)(nil)

// keptResolved is how long alerts stay in the store after their recovery. By
// then it was told, or whoever could be told was away for as long.
const keptResolved = retention

// openAlerts restores the alerts. Recovered ones come back only where somebody
// was told that they fire and was not told the rest.
func openAlerts(ctx context.Context, o Options, silencer *silence.Silencer, toldFiring func() map[uint64]bool) (*Alerts, error) {
	inner, err := mem.NewAlerts(context.WithoutCancel(ctx), collectAlert, 0, silencer, o.Log, eventrecorder.NopRecorder(), o.Registry, featurecontrol.NoopFlags{})
	if err != nil {
		return nil, fmt.Errorf("prepare alerts: %w", err)
	}
	a := &Alerts{Alerts: inner, store: o.Store, log: o.Log, now: o.Now, saved: map[model.Fingerprint]savedAlert{}}
	rows, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	told := toldFiring()
	var back []*alert.Alert
	for _, r := range rows {
		a.saved[r.alert.Fingerprint()] = savedAlert{r.alert.StartsAt.UnixNano(), r.resolved}
		switch {
		case !r.resolved:
			a.restored = append(a.restored, r.alert)
		case told[toldHash(r.alert.Labels)]:
			back = append(back, r.alert)
		}
	}
	return a, inner.Put(ctx, back...)
}

// Restored are the alerts that fired when the process ended. Whether they still
// do is not known here: the caller puts them again until it knows.
func (a *Alerts) Restored() []*alert.Alert { return a.restored }

// Put implements provider.Alerts. What changed is stored before it can be told,
// since an alert that is told and then forgotten is never told as resolved.
func (a *Alerts) Put(ctx context.Context, alerts ...*alert.Alert) error {
	if err := a.save(ctx, alerts); err != nil {
		// Telling people comes first: it is stored when the alert is next put.
		a.log.Warn("alerts are told but not stored", "alerts", len(alerts), "err", err)
	}
	return a.Alerts.Put(ctx, alerts...)
}

func (a *Alerts) save(ctx context.Context, alerts []*alert.Alert) error {
	changed := a.changed(alerts)
	if len(changed) == 0 {
		return nil
	}
	err := a.store.Tx(ctx, func(tx *store.Tx) error {
		for _, c := range changed {
			if err := insert(tx, c, a.now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store alerts: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range changed {
		a.saved[c.Fingerprint()] = savedAlert{c.StartsAt.UnixNano(), c.ResolvedAt(a.now())}
	}
	return nil
}

// changed are those alerts of which the store knows something else. An alert
// that goes on keeps the time at which it started.
func (a *Alerts) changed(alerts []*alert.Alert) (changed []*alert.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range alerts {
		known, ok := a.saved[c.Fingerprint()]
		resolved := c.ResolvedAt(a.now())
		switch {
		case !ok && resolved:
			continue // nobody heard of it
		case ok && known.resolved == resolved && (resolved || known.started <= c.StartsAt.UnixNano()):
			continue
		case ok && !known.resolved && known.started < c.StartsAt.UnixNano():
			same := *c
			same.StartsAt = time.Unix(0, known.started)
			c = &same
		}
		changed = append(changed, c)
	}
	return changed
}

func insert(tx *store.Tx, a *alert.Alert, now time.Time) error {
	text, err := json.Marshal(a.Alert)
	if err != nil {
		return fmt.Errorf("write alert %s: %w", a.Name(), err)
	}
	resolved := 0
	if a.ResolvedAt(now) {
		resolved = 1
	}
	_, err = tx.Exec(`INSERT INTO alerting_alerts (fingerprint, told_hash, alert, resolved, updated) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (fingerprint) DO UPDATE SET alert = excluded.alert, resolved = excluded.resolved, updated = excluded.updated`,
		a.Fingerprint().String(), int64(toldHash(a.Labels)), string(text), resolved, now.UnixNano())
	return err
}

type alertRow struct {
	alert    *alert.Alert
	resolved bool
}

func (a *Alerts) load(ctx context.Context) (list []alertRow, err error) {
	err = a.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT alert, resolved, updated FROM alerting_alerts`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			var resolved, updated int64
			if err := rows.Scan(&text, &resolved, &updated); err != nil {
				return err
			}
			r := alertRow{alert: &alert.Alert{UpdatedAt: time.Unix(0, updated)}, resolved: resolved == 1}
			if err := json.Unmarshal([]byte(text), &r.alert.Alert); err != nil {
				a.log.Error("an alert in the store cannot be read", "err", err)
				continue
			}
			list = append(list, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return list, nil
}

// tidy stores the recovery of alerts that ended by their own time, and forgets
// those that ended long ago.
func (a *Alerts) tidy(ctx context.Context) error {
	if err := a.save(ctx, a.timedOut()); err != nil {
		return err
	}
	before := a.now().Add(-keptResolved).UnixNano()
	var gone []string
	err := a.store.Tx(ctx, func(tx *store.Tx) (err error) {
		gone, err = texts(tx.Query(`DELETE FROM alerting_alerts WHERE resolved = 1 AND updated < ? RETURNING fingerprint`, before))
		return err
	})
	if err != nil {
		return fmt.Errorf("forget old alerts: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, text := range gone {
		if fp, err := model.ParseFingerprint(text); err == nil {
			delete(a.saved, fp)
		}
	}
	return nil
}

func (a *Alerts) timedOut() (ended []*alert.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for fp, known := range a.saved {
		if known.resolved {
			continue
		}
		if c, err := a.Get(fp); err == nil && c.ResolvedAt(a.now()) {
			ended = append(ended, c)
		}
	}
	return ended
}

// toldHash is how the notification log names an alert: hashAlert of
// Alertmanager's package notify.
func toldHash(labels model.LabelSet) uint64 {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b = append(b, name...)
		b = append(b, 0xff)
		b = append(b, labels[name]...)
		b = append(b, 0xff)
	}
	return xxhash.Sum64(b)
}

// texts collects one column of text.
func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}
