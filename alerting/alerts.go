package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/colliehq/collie/alerting/manager"
)

// Alert is an alert that fires now, as Alertmanager knows it.
type Alert struct {
	Name        string
	Fingerprint string // Alertmanager's
	Labels      map[string]string
	Annotations map[string]string
	Started     time.Time
	State       string   // active, suppressed, unprocessed
	Receivers   []string // whom it is for
	SilencedBy  []string // ids of silences
	InhibitedBy []string // fingerprints of alerts
	URL         string   // of the expression
}

// apiAlert is an alert of Alertmanager's API, version 2.
type apiAlert struct {
	Fingerprint  string            `json:"fingerprint"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Receivers    []struct {
		Name string `json:"name"`
	} `json:"receivers"`
	Status struct {
		State       string   `json:"state"`
		SilencedBy  []string `json:"silencedBy"`
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status"`
}

// Alerts that fire now, the longest first, without the dead man's switch. They
// come from the Alertmanager in this process, or from the first of those
// elsewhere that answers.
func (a *Alerting) Alerts(ctx context.Context) ([]Alert, error) {
	if a.manager == nil {
		return a.outside.alerts(ctx)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, manager.Prefix+"/api/v2/alerts", http.NoBody)
	w := httptest.NewRecorder()
	a.manager.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("list alerts: %s", w.Body)
	}
	return decodeAlerts(w.Body)
}

func decodeAlerts(from io.Reader) ([]Alert, error) {
	var list []apiAlert
	if err := json.NewDecoder(from).Decode(&list); err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	alerts := make([]Alert, 0, len(list))
	for _, l := range list {
		shown := Alert{
			Name: l.Labels[model.AlertNameLabel], Fingerprint: l.Fingerprint, Labels: l.Labels, Annotations: l.Annotations,
			Started: l.StartsAt, State: l.Status.State, SilencedBy: l.Status.SilencedBy, InhibitedBy: l.Status.InhibitedBy, URL: l.GeneratorURL,
		}
		for _, r := range l.Receivers {
			shown.Receivers = append(shown.Receivers, r.Name)
		}
		if shown.Name != manager.DeadManAlert {
			alerts = append(alerts, shown)
		}
	}
	slices.SortStableFunc(alerts, func(x, y Alert) int { return x.Started.Compare(y.Started) })
	return alerts, nil
}

// maxAnswer bounds what an Alertmanager elsewhere may answer.
const maxAnswer = 32 << 20

func (o *outside) alerts(ctx context.Context) ([]Alert, error) {
	var errs []error
	for _, base := range o.urls {
		list, err := o.alertsOf(ctx, base)
		if err == nil {
			return list, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (o *outside) alertsOf(ctx context.Context, base string) ([]Alert, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("api/v2/alerts").String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	answer, err := o.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read, or it is of no use
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list alerts of %s: %s", u.Redacted(), answer.Status)
	}
	return decodeAlerts(io.LimitReader(answer.Body, maxAnswer))
}
