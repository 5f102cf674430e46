package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// road is how alerts come in.
type road int

const (
	// hook is what an Alertmanager elsewhere posts: each post is a notification,
	// and what is accepted is told.
	hook road = iota
	// inside goes through the Alertmanager inside Collie, which tells what is so
	// when it looks: an alert that ends before then was never told to anybody,
	// as in any Alertmanager.
	inside
)

// endless is the end of alerts that go on: nobody else than we ends them.
const endless = 24 * time.Hour

// client fails soon: a killed server never answers.
var client = http.Client{Timeout: 5 * time.Second}

// try posts that an alert fires, or is resolved. nil means accepted.
func (l *ledger) try(ctx context.Context, a *alert, status string) error {
	one := map[string]any{
		"startsAt":    a.started,
		"labels":      map[string]string{"alertname": a.name, "target": a.target, "severity": a.severity, "place": a.place.network()},
		"annotations": map[string]string{"summary": "chaos"},
	}
	if status == "resolved" {
		one["endsAt"] = a.ending
	} else if a.road == inside {
		one["endsAt"] = a.started.Add(endless)
	}
	if a.road == inside {
		return l.post(ctx, "/alertmanager/api/v2/alerts", []any{one})
	}
	one["status"] = status
	return l.post(ctx, "/hook/alertmanager", map[string]any{
		"version": "4", "receiver": a.place.network(), "groupKey": "{}:{target=\"" + a.target + "\"}", "status": status,
		"alerts": []any{one},
	})
}

func (l *ledger) post(ctx context.Context, path string, what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.api+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	_, err = answer(req)
	return err
}

func answer(req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	return text, nil
}

// told waits until the Alertmanager inside has told of the alerts that they
// fire, as the journal says.
func (l *ledger) told(ctx context.Context, alerts []*alert) error {
	missing := map[string]bool{}
	var since time.Time
	for _, a := range alerts {
		if a.road == inside {
			missing[a.target] = true
			if since.IsZero() || a.started.Before(since) {
				since = a.started
			}
		}
	}
	for len(missing) > 0 {
		for target := range l.journal(ctx, since) {
			delete(missing, target)
		}
		if err := pauseFor(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%w: the Alertmanager inside did not tell of %d alerts: %v", err, len(missing), missing)
		}
	}
	return nil
}

// journal are the targets of alerts that the journal knows to have fired. While
// Collie cannot be asked there are none.
func (l *ledger) journal(ctx context.Context, since time.Time) map[string]bool {
	query := url.Values{"kind": {"alert"}, "limit": {"1000"}, "since": {since.Format(time.RFC3339Nano)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.api+"/api/collie/v1/journal?"+query.Encode(), nil)
	if err != nil {
		return nil
	}
	text, err := answer(req)
	if err != nil {
		return nil
	}
	var page struct {
		Data []struct {
			Status string `json:"status"`
			Signal struct {
				Data struct {
					Labels map[string]string `json:"labels"`
				} `json:"data"`
			} `json:"signal"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &page) != nil {
		return nil
	}
	known := map[string]bool{}
	for _, e := range page.Data {
		if e.Status == "firing" {
			known[e.Signal.Data.Labels["target"]] = true
		}
	}
	return known
}
