package rules

import (
	"context"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

const (
	summaryBytes = 120 // what a line of IRC has room for, beside all else
	nameBytes    = 63  // the longest name of a target
)

// A summary fits its line, however long the names and large the values are.
func TestSummariesFit(t *testing.T) {
	for _, r := range alerts(t) {
		for what, render := range maps.All(worst()) {
			got, err := render(r.Annotations["summary"])
			switch {
			case err != nil:
				t.Errorf("%s: %s: %v", r.Alert, what, err)
			case len(got) > summaryBytes:
				t.Errorf("%s: with %s the summary has %d bytes, at most %d fit: %s", r.Alert, what, len(got), summaryBytes, got)
			case !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00"):
				t.Errorf("%s: with %s: %q", r.Alert, what, got)
			}
			if got, err := render(r.Annotations["description"]); err != nil || strings.Contains(got, "<no value>") {
				t.Errorf("%s: description: %q, %v", r.Alert, got, err)
			}
		}
	}
}

type renderer func(text string) (string, error)

// worst are ways to render with all labels and values as long as they get.
func worst() map[string]renderer {
	all := map[string]renderer{}
	for what, value := range map[string]float64{"zero": 0, "a negative value": -123456.789, "a small value": 0.029999, "a large value": 1234567.891, "a huge value": 9.87654321e+12} {
		all[what] = func(text string) (string, error) { return render(text, value) }
	}
	return all
}

func render(text string, value float64) (string, error) {
	long := map[string]string{}
	for _, name := range []string{"target", "tier", "probe", "instance", "mountpoint", "subscription", "network", "reason", "rule_group", "integration"} {
		long[name] = strings.Repeat("x", nameBytes)
	}
	const before = "{{$labels := .Labels}}{{$value := .Value}}"
	answer := func(context.Context, string, time.Time) (promql.Vector, error) {
		return promql.Vector{{F: 1, Metric: labels.FromStrings("reason", "unreachable")}}, nil
	}
	data := template.AlertTemplateData(long, nil, "", promql.Sample{F: value})
	return template.NewTemplateExpander(context.Background(), before+text, "summary", data, model.Now(), answer, &url.URL{}, nil).Expand()
}
