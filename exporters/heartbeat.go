package exporters

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/colliehq/collie/exporters/verdict"
)

// pingPatience is how long a ping waits until it is stored.
const pingPatience = 5 * time.Second

var (
	errNoHeartbeat = errors.New("no heartbeat")
	errNotStored   = errors.New("not stored yet")
)

// servePing answers POST /ping/{name}, and GET for those whose only tool is a
// URL. 200 means that the ping is stored; 503 that it may get lost, so that
// whoever sends it tries again.
func (e *Exporter) servePing(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), pingPatience)
	defer cancel()
	name := r.PathValue("name")
	err := e.Ping(ctx, name)
	switch {
	case err == nil:
		e.metrics.pings.Inc()
		fmt.Fprintln(w, "ok")
	case errors.Is(err, errNoHeartbeat):
		http.Error(w, fmt.Sprintf("no target %q with a heartbeat is configured", name), http.StatusNotFound)
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the ping could not be stored yet, send it again", http.StatusServiceUnavailable)
	}
}

// Ping says that the heartbeat called name beats. nil means that this is
// stored.
func (e *Exporter) Ping(ctx context.Context, name string) error {
	c, err := e.takePing(name)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return errNotStored
	}
}

// takePing judges a ping. While nothing can be stored it counts all the same:
// the verdict is about the other side, the answer is about us.
func (e *Exporter) takePing(name string) (*change, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.targets[name]
	if t == nil || t.cfg.Heartbeat == nil || !e.running {
		return nil, errNoHeartbeat
	}
	now := e.look()
	t.lastPing = now
	e.expectPing(t)
	c := e.apply(t, verdict.Result{At: now, Success: true})
	if e.failing != nil {
		return nil, errNotStored
	}
	if c == nil { // no transition, which would store the ping too
		c = t.ping()
		e.note(c)
	}
	c.done = make(chan struct{})
	return c, nil
}
