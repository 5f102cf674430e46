package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/size"
	"github.com/colliehq/collie/webhook/proof"
)

const (
	// commitTimeout is how long storing may take before the answer is that it is
	// not known: senders wait 10 seconds.
	commitTimeout = 8 * time.Second
	// retryAfter is what senders are asked to wait when we cannot take more.
	retryAfter = "5"
	maxHeaders = 200 // lines
	prefix     = "/hook/"
)

// ServeHTTP takes deliveries: POST /hook/NAME.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	name, found := strings.CutPrefix(r.URL.Path, prefix)
	h := w.hook(name)
	switch {
	case !found || h == nil:
		w.metrics.unknown.Inc()
		refuse(rw, http.StatusNotFound, "there is no such hook")
	case r.Method != http.MethodPost:
		rw.Header().Set("Allow", http.MethodPost)
		refuse(rw, http.StatusMethodNotAllowed, "a delivery is posted")
	case len(r.Header) > maxHeaders:
		refuse(rw, http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("more than %d headers", maxHeaders))
	default:
		w.receive(rw, r, h, begin)
	}
}

// receive answers one delivery and counts what became of it.
func (w *Webhook) receive(rw http.ResponseWriter, r *http.Request, h *hook, begin time.Time) {
	id, what, err := w.take(r, h)
	h.metrics.results[what].Inc()
	switch what {
	case stored, repeated:
		h.metrics.answer.Observe(time.Since(begin).Seconds())
		accept(rw, id)
	case refused:
		h.metrics.refused[proof.ReasonOf(err)].Inc()
		if h.mayLog(begin) {
			w.log.Warn("delivery refused", "hook", h.Name, "reason", string(proof.ReasonOf(err)), "remote", r.RemoteAddr, "err", err)
		}
		refuse(rw, http.StatusUnauthorized, err.Error())
	case tooLarge:
		refuse(rw, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %s; nothing was stored", size.Bytes(h.limit)))
	case unsupported:
		refuse(rw, http.StatusUnsupportedMediaType, "compressed bodies are not taken: a signature is of what is sent, and its size would not be known")
	case unreadable:
		refuse(rw, readCode(err), "the body did not come as announced: "+plainError(err))
	case overloaded, full, failed:
		if what != overloaded && h.mayLog(begin) {
			w.log.Error("delivery not stored, its sender is asked to try again", "hook", h.Name, "err", err)
		}
		rw.Header().Set("Retry-After", retryAfter)
		refuse(rw, http.StatusServiceUnavailable, "cannot be stored now, try again: "+string(what))
	}
}

// take reads, proves and stores one delivery.
func (w *Webhook) take(r *http.Request, h *hook) (id string, what result, err error) {
	limits := w.limits.Load()
	received := w.now()
	check, err := h.proof.Head(r.Header, received)
	if err != nil {
		return "", refused, err
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return "", unsupported, nil
	}
	b := body{load: &w.load, limit: int64(limits.Memory)}
	defer b.release()
	if what, err := w.read(r, h, &b); err != nil {
		return "", what, err
	}
	if check != nil {
		if err := check(b.parts...); err != nil {
			return "", refused, err
		}
	}
	// Only who is proven takes a place: slow strangers keep nobody out.
	if !w.load.enter(limits.Requests) {
		return "", overloaded, errOverloaded
	}
	defer w.load.leave()
	return w.keep(r, h, b.whole(), received)
}

func (w *Webhook) read(r *http.Request, h *hook, b *body) (result, error) {
	err := b.read(r.Body, r.ContentLength, h.limit)
	h.metrics.bytes.Add(float64(b.size))
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge, err
	case errors.Is(err, errOverloaded):
		return overloaded, err
	case err != nil:
		return unreadable, err
	}
	return stored, nil
}

// keep commits a proven delivery. Whether the sender waits for the answer makes
// no difference any more.
func (w *Webhook) keep(r *http.Request, h *hook, raw []byte, received time.Time) (id string, what result, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitTimeout)
	defer cancel()
	id, first, err := w.spool(ctx, h, r.Header, raw, received)
	switch {
	case errors.Is(err, queue.ErrFull):
		return "", full, err
	case err != nil:
		return "", failed, err
	}
	h.seen(received)
	if !first {
		return id, repeated, nil
	}
	return id, stored, nil
}

func readCode(err error) int {
	if timeout := net.Error(nil); errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

func plainError(err error) string {
	if readCode(err) == http.StatusRequestTimeout {
		return "it took too long"
	}
	return "it broke off"
}

// accept says that the delivery is durable, and what it is called.
func accept(rw http.ResponseWriter, id string) {
	head := rw.Header()
	head["Content-Type"] = contentType
	rw.WriteHeader(http.StatusAccepted)
	_, _ = rw.Write([]byte(`{"id":"` + id + `"}` + "\n")) //nolint:gosec // hexadecimal digits of ours; the sender may be gone
}

var contentType = []string{"application/json"}

// refuse says why nothing was stored.
func refuse(rw http.ResponseWriter, code int, why string) {
	rw.Header()["Content-Type"] = contentType
	rw.WriteHeader(code)
	text, err := json.Marshal(map[string]string{"error": why})
	if err == nil { // it is a text: it cannot fail
		_, _ = rw.Write(append(text, '\n')) // the sender may be gone
	}
}
