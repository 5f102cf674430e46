package probe

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/secret"
)

// ScrapeTimeoutHeader is the header in which Prometheus says, in seconds, how
// long it will wait for the answer.
const ScrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

const (
	scrapeMargin   = 500 * time.Millisecond // kept back of the scraper's patience for the way back
	longestTimeout = 120 * time.Second      // when neither scraper nor module sets a limit
)

// Handler answers /probe?module=M&target=T as blackbox_exporter does: one probe
// for each request, nothing remembered. Log and Modules must be set.
type Handler struct {
	Modules  func() map[string]Module   // the modules that hold now
	Address  func(module string) string // what a module looks at if the request names no target, "" if it must; nil: all must
	Allow    func(target string) bool   // whether the target may be probed; nil allows all
	Guard    Guard                      // checks each address that is dialled; nil means GuardMetadata
	Resolver Resolver                   // nil means net.DefaultResolver
	Log      *slog.Logger

	buffers sync.Pool // of *[]byte
}

// refusal is an answer that is not a probe: its status and a sentence.
type refusal struct {
	status int
	text   string
}

// ServeHTTP makes the probe that the request asks for and answers with its
// metrics, or with everything about it if debug=true. The probe ends when the
// scraper leaves.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	target, debug := query.Get("target"), query.Get("debug") == "true"
	if target == "" && h.Address != nil {
		target = h.Address(query.Get("module"))
	}
	module, no := h.admit(query.Get("module"), target)
	if no != nil {
		http.Error(w, no.text, no.status)
		return
	}
	limit, err := timeLimit(r.Header.Get(ScrapeTimeoutHeader), module.Timeout)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	req := Request{Target: target, Dial: h.Guard, Resolver: h.Resolver, Params: Params{Hostname: query.Get("hostname")}}
	if req.Dial == nil {
		req.Dial = GuardMetadata
	}
	if debug {
		h.serveDebug(ctx, w, module, req, limit)
		return
	}
	result := Run(ctx, module, req)
	if !result.Success {
		h.Log.Debug("probe failed", "module", module.Name, "target", secret.URLs(target), "reason", result.Reason, "cause", result.Cause)
	}
	h.write(w, r, result)
}

// admit finds the module, and says why there is no probe.
func (h *Handler) admit(name, target string) (Module, *refusal) {
	if name == "" {
		name = "http_2xx" // as blackbox_exporter
	}
	module, ok := h.Modules()[name]
	switch {
	case target == "":
		return module, &refusal{http.StatusBadRequest, "the parameter target is missing: /probe?module=MODULE&target=TARGET"}
	case !ok:
		return module, &refusal{http.StatusBadRequest, fmt.Sprintf("unknown module %q: it is neither built in nor in the modules_file", name)}
	case h.Allow != nil && !h.Allow(target):
		return module, &refusal{http.StatusForbidden, fmt.Sprintf(
			"target %q is not configured: add it to targets, or set probe.ad_hoc: true to let /probe look at any target", secret.URLs(target))}
	}
	return module, nil
}

// timeLimit is how long the probe may take: what the scraper says, less a
// margin, or the module's timeout if that is shorter.
func timeLimit(header string, module time.Duration) (time.Duration, error) {
	limit := longestTimeout
	if header != "" {
		seconds, err := strconv.ParseFloat(header, 64)
		if err != nil || math.IsNaN(seconds) || seconds <= 0 {
			return 0, fmt.Errorf("the header %s is %q, not a positive number of seconds", ScrapeTimeoutHeader, header)
		}
		patience := time.Duration(min(seconds, longestTimeout.Seconds()) * float64(time.Second))
		limit = max(patience-scrapeMargin, patience/2) // an impatient scraper still gets an answer
	}
	if module > 0 {
		limit = min(limit, module)
	}
	return limit, nil
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, result Result) {
	buf, ok := h.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	defer h.buffers.Put(buf)
	format := Negotiate(r.Header)
	var e Exposition
	e.Add(result.Metrics.Families())
	*buf = e.Append((*buf)[:0], format)
	w.Header().Set("Content-Type", string(format))
	_, _ = w.Write(*buf) // the scraper has gone: nobody is left to tell
}

// serveDebug answers with the probe's log, its result, its metrics and its
// module, as plain text for a person.
func (h *Handler) serveDebug(ctx context.Context, w http.ResponseWriter, m Module, req Request, limit time.Duration) {
	log := &cappedBuffer{limit: 256 << 10}
	req.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	req.Log.Info("beginning probe", "module", m.Name, "kind", m.Kind, "target", secret.URLs(req.Target), "timeout", limit)
	result := Run(ctx, m, req)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var out bytes.Buffer
	fmt.Fprintf(&out, "Logs for the probe:\n%s\n\nResult:\n%s\n\n", log.Bytes(), result.text())
	fmt.Fprintf(&out, "Metrics that would have been returned:\n%s\n\n", AppendText(nil, result.Metrics.Families()))
	fmt.Fprintf(&out, "Module configuration:\n%s", m.Config)
	_, _ = w.Write(out.Bytes())
}

// text tells the result to a person.
func (r *Result) text() string {
	took := r.Duration.Round(time.Microsecond)
	if r.Success {
		return fmt.Sprintf("success in %s", took)
	}
	text := fmt.Sprintf("failure in %s\nreason: %s\ncause: %s", took, r.Reason, r.Cause)
	if r.Evidence != "" {
		text += "\nevidence:\n" + r.Evidence
	}
	return text
}

// cappedBuffer keeps the first limit bytes that are written to it.
type cappedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if room := b.limit - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
