package alerting

import (
	"context"
	"time"

	"github.com/prometheus/alertmanager/alert"

	"github.com/colliehq/collie/alerting/engine"
)

// recall gives Alertmanager the alerts that fired when the last session ended.
// It is done before anybody can post one: a recovery that is posted as soon as
// we listen must not be undone.
func (a *Alerting) recall(ctx context.Context) {
	if a.manager == nil {
		return
	}
	var list []*alert.Alert
	for _, known := range a.manager.Alerts().Restored() {
		kept := *known
		kept.UpdatedAt = a.o.Now()
		if a.keeper == nil || !a.keeper.recall(&kept) {
			// Its maker tells it again, or it ends.
			kept.EndsAt = later(known.EndsAt, a.o.Now().Add(resolveTimeout))
		}
		list = append(list, &kept)
	}
	a.put(ctx, list...)
}

// recall holds an alert that rules here make, until they were evaluated.
func (k *keeper) recall(kept *alert.Alert) bool {
	ours := kept.EndsAt.Sub(k.now()) > keepFor/2
	if !ours && k.a.engine.Judge(labelsOf(kept.Labels), time.Time{}) == engine.NoRule {
		return false
	}
	kept.EndsAt = k.now().Add(keepFor)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[kept.Fingerprint()] = &heldAlert{alert: kept}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
