package probe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/colliehq/collie/internal/secret"
)

// Run makes one probe of the module: within the module's time limit and the
// deadline of ctx, whichever ends first, measured, and with a panic turned into
// a failure. The metrics of its result are complete: those of the probe itself
// and those that all probes have, whose number does not depend on the outcome.
func Run(ctx context.Context, m Module, req Request) Result {
	if req.Log == nil {
		req.Log = slog.New(slog.DiscardHandler)
	}
	if req.Resolver == nil {
		req.Resolver = net.DefaultResolver
	}
	if m.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.Timeout)
		defer cancel()
	}
	start := time.Now()
	result := guarded(ctx, m, req)
	result.Duration = time.Since(start)
	result.tidy()
	result.addCommon()
	return result
}

// guarded calls the probe and survives its panic: one broken kind of probe must
// not cost the others their results.
func guarded(ctx context.Context, m Module, req Request) (result Result) {
	defer func() {
		if r := recover(); r != nil {
			req.Log.Error("probe panicked", "module", m.Name, "target", secret.URLs(req.Target), "panic", r, "stack", string(debug.Stack()))
			result = Fail(Metrics{}, Protocol, fmt.Sprintf("the %s probe broke on this answer: %v (a mistake in Collie)", m.Kind, r))
		}
	}()
	return m.Probe(ctx, req)
}

// tidy brings a result to what it promises: a reason if and only if it failed,
// text that is UTF-8 and without the passwords of URLs, evidence within its
// bound.
func (r *Result) tidy() {
	if r.Success {
		r.Reason, r.Cause, r.Evidence = None, "", ""
		return
	}
	if r.Reason == None {
		r.Reason = Protocol
	}
	r.Cause = strings.ToValidUTF8(clip(secret.URLs(r.Cause), maxCause), "�")
	r.Evidence = clip(strings.ToValidUTF8(secret.URLs(r.Evidence), "�"), MaxEvidence)
}

// maxCause bounds the sentence for people, in bytes: it quotes error texts that
// the other side may have a say in.
const maxCause = 512

// clip cuts s to at most limit bytes, at the beginning of a character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func (r *Result) addCommon() {
	r.Metrics.Gauge("probe_success", "1 if the probe succeeded, 0 if it failed.", Bool(r.Success))
	r.Metrics.Gauge("probe_duration_seconds", "How long the whole probe took.", r.Duration.Seconds())
	r.Metrics.families = append(r.Metrics.families, failure(r.Reason))
}

// failure is the family that says why a probe failed, with one series for each
// reason whatever the outcome, so that an alert on a reason never lacks data.
func failure(reason Reason) Family {
	reasons := Reasons()
	f := Family{
		Name: "probe_failure", Type: Gauge, Samples: make([]Sample, len(reasons)),
		Help: "1 for the reason for which the probe failed; 0 for all others, and for all after a success.",
	}
	labels := make([]Label, len(reasons))
	for i, r := range reasons {
		labels[i] = Label{"reason", string(r)}
		f.Samples[i] = Sample{Labels: labels[i : i+1 : i+1], Value: Bool(r == reason)}
	}
	return f
}
