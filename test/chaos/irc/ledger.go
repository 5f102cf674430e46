package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// alert is one that we make fire.
type alert struct {
	name, target, severity string

	started         time.Time
	fired, resolved bool      // accepted: answered with 2xx
	ending          time.Time // when it was first posted as resolved
}

// ledger is what was accepted. An alert that is not accepted is posted again,
// as Alertmanager does.
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
func (l *ledger) begin(name string, count int) {
	l.now = nil
	severity := []string{"critical", "warning"}[l.random.IntN(2)]
	for range count {
		l.total++
		l.now = append(l.now, &alert{name: name, target: fmt.Sprintf("host%05d", l.total), severity: severity})
	}
	l.alerts = append(l.alerts, l.now...)
}

// gap is the longest time between two alerts.
const gap = 150 * time.Millisecond

// post makes the alerts of the step fire, one after another, and two of three
// end.
func (l *ledger) post(ctx context.Context) error {
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

// client fails soon: a killed server never answers.
var client = http.Client{Timeout: 5 * time.Second}

func (l *ledger) try(ctx context.Context, a *alert, status string) error {
	one := map[string]any{
		"status": status, "startsAt": a.started,
		"labels":      map[string]string{"alertname": a.name, "target": a.target, "severity": a.severity},
		"annotations": map[string]string{"summary": "chaos"},
	}
	if status == "resolved" {
		one["endsAt"] = a.ending
	}
	body, err := json.Marshal(map[string]any{
		"version": "4", "receiver": receiver, "groupKey": "{}:{target=\"" + a.target + "\"}", "status": status,
		"alerts": []any{one},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.api+"/hook/alertmanager", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}
