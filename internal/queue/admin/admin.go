// Package admin lets people look into the queue and act on what was set aside,
// over HTTP: `collie queue` is its client.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/strictyaml"
)

// Path is where the routes begin.
const Path = "/api/collie/v1/queue"

const (
	defaultLimit = 20
	maxLimit     = 1000
	maxKeys      = 1000    // of one redrive
	maxRequest   = 1 << 20 // bytes of one redrive
	lineTimeout  = time.Minute
)

// Engine is one of the queues of this process.
type Engine struct {
	Name string // sqlite, rabbitmq
	queue.Queue
}

// API answers for the engines.
type API struct {
	engines []Engine
	log     *slog.Logger
}

// New returns the API of the engines. The names of their subscriptions differ.
func New(log *slog.Logger, engines ...Engine) *API { return &API{engines: engines, log: log} }

// Register adds the routes to the mux.
func (a *API) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+Path, a.serve(a.stats))
	mux.HandleFunc("GET "+Path+"/{subscription}", a.serve(a.peek))
	mux.HandleFunc("POST "+Path+"/{subscription}/redrive", a.serve(a.redrive))
	mux.HandleFunc("GET "+Path+"/{subscription}/export", a.export)
}

// Envelope is how every answer but an export is wrapped, as in Prometheus's API.
type Envelope[T any] struct {
	Status   string   `json:"status"` // success or error
	Data     T        `json:"data,omitempty"`
	Warnings []string `json:"warnings,omitempty"` // what could not be asked
	Error    string   `json:"error,omitempty"`
}

// failure is an error with the status that says whose it is.
type failure struct {
	code int
	error
}

func bad(format string, args ...any) error {
	return failure{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func (a *API) serve(f func(*http.Request) (data any, warnings []string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, warnings, err := f(r)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		answer(w, http.StatusOK, Envelope[any]{Status: "success", Data: data, Warnings: warnings})
	}
}

func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusServiceUnavailable
	if f, ok := errors.AsType[failure](err); ok {
		code = f.code
	} else {
		a.log.Warn("the queue could not be asked", "path", r.URL.Path, "err", err)
	}
	answer(w, code, Envelope[any]{Status: "error", Error: err.Error()})
}

func answer(w http.ResponseWriter, code int, e Envelope[any]) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(e) //nolint:errchkjson // the reader may be gone: nobody is left to tell
}

// stats shows every subscription that can be asked for; an engine that cannot
// answer is a warning, if another can.
func (a *API) stats(r *http.Request) (any, []string, error) {
	all := []Subscription{}
	var warnings []string
	var errs []error
	for _, e := range a.engines {
		stats, err := e.Stats(r.Context())
		if err != nil {
			err = fmt.Errorf("%s: %w", e.Name, err)
			errs, warnings = append(errs, err), append(warnings, err.Error())
			continue
		}
		for _, s := range stats {
			all = append(all, subscription(e.Name, s))
		}
	}
	if len(errs) == len(a.engines) && len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return all, warnings, nil
}

// find is the engine that has a subscription, or a failure that names the
// nearest one.
func (a *API) find(ctx context.Context, name string) (queue.Queue, error) {
	var known []string
	var errs []error
	for _, e := range a.engines {
		stats, err := e.Stats(ctx)
		errs = append(errs, err)
		for _, s := range stats {
			if s.Name == name {
				return e.Queue, nil
			}
			known = append(known, s.Name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err // it may be the one that did not answer
	}
	return nil, failure{http.StatusNotFound, fmt.Errorf("no subscription %q%s", name, strictyaml.Suggestion(name, known))}
}

func (a *API) peek(r *http.Request) (any, []string, error) {
	filter, body, err := parameters(r, "limit", "body")
	if err != nil {
		return nil, nil, err
	}
	q, err := a.find(r.Context(), r.PathValue("subscription"))
	if err != nil {
		return nil, nil, err
	}
	messages := []Message{}
	err = queue.Walk(r.Context(), q, r.PathValue("subscription"), filter, func(e queue.Entry) error {
		messages = append(messages, message(e, body))
		return nil
	})
	return messages, nil, err
}

func parameters(r *http.Request, known ...string) (f queue.Filter, body bool, err error) {
	known = append(known, "state")
	given := r.URL.Query()
	for name := range given {
		if !slices.Contains(known, name) {
			return f, false, bad("unknown parameter %q%s", name, strictyaml.Suggestion(name, known))
		}
	}
	f.Limit = defaultLimit
	if text := given.Get("limit"); text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > maxLimit {
			return f, false, bad("limit %q is no number from 1 to %d", text, maxLimit)
		}
	}
	if f.State = queue.State(given.Get("state")); f.State != "" && !slices.Contains(states(), string(f.State)) {
		return f, false, bad("no state %q%s", f.State, strictyaml.Suggestion(string(f.State), states()))
	}
	return f, given.Get("body") == "true", nil
}

func states() []string {
	return []string{string(queue.Ready), string(queue.Delayed), string(queue.Leased), string(queue.Parked), string(queue.Spilled)}
}

// Redrive is what is asked of a redrive: the messages with these keys, or all
// that are parked or spilled.
type Redrive struct {
	Keys []string `json:"keys,omitempty"`
	All  bool     `json:"all,omitempty"`
}

// Redriven is what it did.
type Redriven struct {
	Redriven int `json:"redriven"`
}

func (a *API) redrive(r *http.Request) (any, []string, error) {
	ask, err := readRedrive(r)
	if err != nil {
		return nil, nil, err
	}
	name := r.PathValue("subscription")
	q, err := a.find(r.Context(), name)
	if err != nil {
		return nil, nil, err
	}
	n, err := q.Redrive(r.Context(), name, ask.Keys...)
	if n > 0 {
		a.log.Info("messages redriven", "subscription", name, "messages", n, "client", r.RemoteAddr)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("after %d messages: %w", n, err)
	}
	return Redriven{n}, nil, nil
}

// readRedrive refuses browsers that come from elsewhere: a page could otherwise
// make its reader's browser post here. JSON alone keeps out forms, for browsers
// that do not say where they come from.
func readRedrive(r *http.Request) (ask Redrive, err error) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return ask, failure{http.StatusForbidden, errors.New("refused: the request came from another site")}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return ask, failure{http.StatusUnsupportedMediaType, errors.New("send application/json, as {\"keys\": [\"KEY\"]} or {\"all\": true}")}
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return ask, bad("read the request: %w", err)
	}
	if len(raw) > maxRequest {
		return ask, failure{http.StatusRequestEntityTooLarge, fmt.Errorf("the request is larger than %d bytes", maxRequest)}
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	switch err := d.Decode(&ask); {
	case err != nil:
		return ask, bad("the request is not understood: %w", err)
	case d.More():
		return ask, bad("the request is not understood: more than one JSON value")
	case ask.All == (len(ask.Keys) > 0):
		return ask, bad("say either which keys, or all")
	case len(ask.Keys) > maxKeys:
		return ask, bad("%d keys are more than %d at once", len(ask.Keys), maxKeys)
	case slices.Contains(ask.Keys, ""):
		return ask, bad("a key is empty")
	}
	return ask, nil
}

// export streams everything, one JSON object a line, with bodies.
func (a *API) export(w http.ResponseWriter, r *http.Request) {
	filter, _, err := parameters(r)
	name := r.PathValue("subscription")
	var q queue.Queue
	if err == nil {
		q, err = a.find(r.Context(), name)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	filter.Limit = 0
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// What was sent cannot be taken back: a stream that ends early is told by
	// its trailer.
	w.Header().Set("Trailer", Trailer)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	deadline := http.NewResponseController(w)
	err = queue.Walk(r.Context(), q, name, filter, func(e queue.Entry) error {
		// The server's limit is for whole answers: here each line has its own. A
		// writer that knows no deadline needs none.
		_ = deadline.SetWriteDeadline(time.Now().Add(lineTimeout))
		return lines.Encode(message(e, true))
	})
	if err != nil {
		w.Header().Set(Trailer, strings.Map(printable, err.Error()))
		return
	}
	w.Header().Set(Trailer, "complete")
}

// Trailer ends an export: "complete", or why it is not.
const Trailer = "X-Export"

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return ' '
	}
	return r
}
