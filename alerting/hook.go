package alerting

import (
	"errors"
	"io"
	"net/http"

	"github.com/colliehq/collie/internal/notification"
)

// maxHook bounds the body of a webhook.
const maxHook = 16 << 20

// hook takes the webhook of an outside Alertmanager. It answers 200 only once
// all of it is durable; 5xx makes the sender try again, 4xx does not.
func (a *Alerting) hook(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		http.Error(w, "refused: the request came from another site", http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	if err != nil {
		code := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "read webhook: "+err.Error(), code)
		return
	}
	n, err := notification.Decode(body)
	if err != nil {
		a.log.Warn("a webhook is not understood", "err", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := a.notifier.Receive(r.Context(), n); err != nil {
		a.log.Warn("a webhook is not taken: its sender tries again", "receiver", n.Receiver, "err", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
