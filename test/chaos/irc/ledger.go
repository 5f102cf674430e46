package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// alert is one that we make fire.
type alert struct {
	name, target, severity string

	place           place
	road            road
	started         time.Time
	fired, resolved bool      // accepted: answered with 2xx
	ending          time.Time // when it was first posted as resolved
}

// ledger is what was accepted. An alert that is not accepted is posted again,
// as Prometheus and Alertmanager do.
type ledger struct {
	api    string
	random *rand.Rand
	alerts []*alert
	now    []*alert // of this step
	total  int
	again  int // posts that were not accepted
}

func newLedger(api string, random *rand.Rand) *ledger { return &ledger{api: api, random: random} }

// begin makes the alerts of the next step.
func (l *ledger) begin(name string, count int, r road, places []place) {
	l.now, l.again = nil, 0
	severity := []string{"critical", "warning"}[l.random.IntN(2)]
	for i := range count {
		l.total++
		l.now = append(l.now, &alert{
			name: name, target: fmt.Sprintf("host%05d", l.total), severity: severity, road: r, place: places[i%len(places)],
		})
	}
	l.alerts = append(l.alerts, l.now...)
}

// gap is the longest time between two alerts.
const gap = 150 * time.Millisecond

// run makes the alerts of the step fire, one after another, and two of three
// end.
func (l *ledger) run(ctx context.Context) error {
	for _, a := range l.now {
		a.started = time.Now().UTC()
		if err := l.until(ctx, a, "firing"); err != nil {
			return err
		}
		a.fired = true
		if err := pauseFor(ctx, time.Duration(l.random.Int64N(int64(gap)))); err != nil {
			return err
		}
	}
	if err := l.told(ctx, l.now); err != nil {
		return err
	}
	for i, a := range l.now {
		if i%3 == 2 {
			continue
		}
		a.ending = time.Now().UTC()
		if err := l.until(ctx, a, "resolved"); err != nil {
			return err
		}
		a.resolved = true
	}
	return nil
}

func (l *ledger) until(ctx context.Context, a *alert, status string) error {
	for {
		err := l.try(ctx, a, status)
		if err == nil {
			return nil
		}
		l.again++
		if err := pauseFor(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
