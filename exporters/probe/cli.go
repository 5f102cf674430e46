package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/colliehq/collie/internal/secret"
)

// CLIOptions is what `collie probe` was asked for beside module and target.
type CLIOptions struct {
	Output   string // "text" or "json"; empty means text
	Hostname string // as the parameter hostname of /probe
	Timeout  time.Duration
	Guard    Guard    // nil means GuardMetadata
	Resolver Resolver // nil means net.DefaultResolver
}

// CLI makes one probe and writes its log, its result and its metrics to w, in
// colour if w is a terminal. It reports whether the probe succeeded.
func CLI(ctx context.Context, w io.Writer, m Module, target string, o CLIOptions) (ok bool, err error) {
	if o.Output != "" && o.Output != "text" && o.Output != "json" {
		return false, fmt.Errorf("unknown output %q: it can be text or json", o.Output)
	}
	limit := longestTimeout
	if o.Timeout > 0 {
		limit = o.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	guard := o.Guard
	if guard == nil {
		guard = GuardMetadata
	}
	log := &cappedBuffer{limit: 256 << 10}
	result := Run(ctx, m, Request{
		Target: target, Dial: guard, Resolver: o.Resolver, Params: Params{Hostname: o.Hostname},
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: clockOnly})),
	})
	if o.Output == "json" {
		return result.Success, writeJSON(w, m, target, result, log.String())
	}
	return result.Success, writeText(w, m, target, result, log.String())
}

// clockOnly leaves the time of day of a log line: the day is today.
func clockOnly(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

func writeText(w io.Writer, m Module, target string, r Result, log string) error {
	paint := painter(w)
	verdict := paint("32", fmt.Sprintf("success in %s", r.Duration.Round(10*time.Microsecond)))
	if !r.Success {
		verdict = paint("31", fmt.Sprintf("failed after %s: %s: %s", r.Duration.Round(10*time.Microsecond), r.Reason, r.Cause))
	}
	text := paint("2", log) + fmt.Sprintf("%s %s: %s\n", m.Name, secret.URLs(target), verdict)
	if r.Evidence != "" {
		text += indent(r.Evidence)
	}
	text += "\n" + string(AppendText(nil, r.Metrics.Families()))
	_, err := io.WriteString(w, text)
	return err
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ") + "\n"
}

// painter colours text if w is a terminal and the user has not said no
// (https://no-color.org).
func painter(w io.Writer) func(code, text string) string {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isatty.IsTerminal(f.Fd()) {
		return func(_, text string) string { return text }
	}
	return func(code, text string) string { return "\x1b[" + code + "m" + text + "\x1b[0m" }
}

// writeJSON writes the result as one JSON object. Values that JSON has no
// number for (NaN and the infinities) are strings, as in Prometheus' API.
func writeJSON(w io.Writer, m Module, target string, r Result, log string) error {
	type sample struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels,omitempty"`
		Value  any               `json:"value"`
	}
	var samples []sample
	for _, f := range r.Metrics.Families() {
		for _, s := range f.Samples {
			one := sample{Name: f.Name, Value: s.Value}
			if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
				one.Value = string(appendFloat(nil, s.Value, false))
			}
			for _, l := range s.Labels {
				if one.Labels == nil {
					one.Labels = map[string]string{}
				}
				one.Labels[l.Name] = l.Value
			}
			samples = append(samples, one)
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"module": m.Name, "target": secret.URLs(target), "success": r.Success, "reason": r.Reason, "cause": r.Cause,
		"evidence": r.Evidence, "duration_seconds": r.Duration.Seconds(),
		"log": strings.Split(strings.TrimRight(log, "\n"), "\n"), "metrics": samples,
	})
}
