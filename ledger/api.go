package ledger

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/colliehq/collie/signal"
)

// API is where the routes begin.
const API = "/api/collie/v1/"

// envelope is how every answer is wrapped, as in Prometheus's API.
type envelope struct {
	Status string `json:"status"` // success or error
	Data   any    `json:"data,omitempty"`
	Next   string `json:"next,omitempty"` // cursor of the next page
	Error  string `json:"error,omitempty"`
}

// Register adds the routes of the API to the mux.
func (l *Ledger) Register(mux *http.ServeMux) {
	routes := map[string]func(*http.Request) (data any, next string, err error){
		"targets":        l.serveTargets,
		"targets/{name}": l.serveTarget,
		"intervals":      l.serveIntervals,
		"downtimes":      l.serveDowntimes,
		"availability":   l.serveAvailability,
		"journal":        l.serveJournal,
		"why":            l.serveWhy,
	}
	for path, serve := range routes {
		mux.HandleFunc("GET "+API+path, func(w http.ResponseWriter, r *http.Request) {
			data, next, err := serve(r)
			if err != nil {
				l.refuse(w, r, err)
				return
			}
			l.answer(w, http.StatusOK, envelope{Status: "success", Data: data, Next: next})
		})
	}
	mux.HandleFunc(API, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			l.answer(w, http.StatusMethodNotAllowed, envelope{Status: "error", Error: "this API only answers GET"})
			return
		}
		l.answer(w, http.StatusNotFound, envelope{Status: "error", Error: "nothing is at " + r.URL.Path +
			"; there are targets, targets/NAME, intervals, downtimes, availability, journal and why"})
	})
}

func (l *Ledger) serveTargets(r *http.Request) (any, string, error) {
	p := newParams(r.URL.RawQuery, l.now(), "removed")
	var all bool
	switch v := p.text("removed"); v {
	case "", "false":
	case "true":
		all = true
	default:
		p.bad("removed %q is not true or false", v)
	}
	if p.err != nil {
		return nil, "", p.err
	}
	list := l.Targets
	if all {
		list = l.AllTargets
	}
	targets, err := list(r.Context())
	return targets, "", err
}

func (l *Ledger) serveTarget(r *http.Request) (any, string, error) {
	if p := newParams(r.URL.RawQuery, l.now()); p.err != nil {
		return nil, "", p.err
	}
	t, err := l.Target(r.Context(), r.PathValue("name"))
	return t, "", err
}

func (l *Ledger) query(r *http.Request, known ...string) (Query, error) {
	p := newParams(r.URL.RawQuery, l.now(), append([]string{"target", "since", "until", "limit", "cursor"}, known...)...)
	q := Query{Target: p.text("target"), Limit: p.limit(), Cursor: p.text("cursor"), States: p.states()}
	q.Since, q.Until = p.window()
	if p.err != nil {
		return q, p.err
	}
	return q, l.known(r.Context(), q.Target)
}

func (l *Ledger) serveIntervals(r *http.Request) (any, string, error) {
	q, err := l.query(r, "state")
	if err != nil {
		return nil, "", err
	}
	page, err := l.Intervals(r.Context(), q)
	return page.Items, page.Next, err
}

func (l *Ledger) serveDowntimes(r *http.Request) (any, string, error) {
	q, err := l.query(r)
	if err != nil {
		return nil, "", err
	}
	page, err := l.Downtimes(r.Context(), q)
	return page.Items, page.Next, err
}

func (l *Ledger) serveAvailability(r *http.Request) (any, string, error) {
	p := newParams(r.URL.RawQuery, l.now(), "target", "since", "until", "by", "tz")
	q := AvailabilityQuery{Target: p.text("target")}
	q.Since, q.Until = p.window()
	q.ByMonth, q.Zone = p.byMonth()
	if p.err != nil {
		return nil, "", p.err
	}
	data, err := l.Availability(r.Context(), q)
	return data, "", err
}

func (l *Ledger) serveJournal(r *http.Request) (any, string, error) {
	p := newParams(r.URL.RawQuery, l.now(), "subject", "kind", "since", "until", "limit", "cursor")
	q := JournalQuery{Subject: p.text("subject"), Kind: p.kind(), Limit: p.limit(), Cursor: p.text("cursor")}
	q.Since, q.Until = p.window()
	if p.err != nil {
		return nil, "", p.err
	}
	page, err := l.Journal(r.Context(), q)
	return page.Items, page.Next, err
}

func (l *Ledger) serveWhy(r *http.Request) (any, string, error) {
	p := newParams(r.URL.RawQuery, l.now(), "subject", "since")
	since := p.time("since")
	subject := p.text("subject")
	if subject == "" {
		p.bad("say which subject: why?subject=target/NAME")
	}
	if p.err != nil {
		return nil, "", p.err
	}
	story, err := l.Why(r.Context(), subject, since)
	if errors.Is(err, ErrNoTarget) || errors.Is(err, ErrNoSubject) {
		err = l.maybeTarget(r, subject, err)
	}
	return story, "", err
}

// maybeTarget helps those who give the name of a target as subject.
func (l *Ledger) maybeTarget(r *http.Request, subject string, err error) error {
	if strings.Contains(subject, "/") || l.known(r.Context(), subject) != nil {
		return err
	}
	return errors.Join(err, errors.New("did you mean "+signal.TargetSubject(subject)+"?"))
}

// refuse answers with the error as a sentence.
func (l *Ledger) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusInternalServerError
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	switch {
	case errors.Is(err, ErrBadQuery):
		code, text = http.StatusBadRequest, strings.TrimPrefix(text, ErrBadQuery.Error()+": ")
	case errors.Is(err, ErrNoTarget):
		code, text = http.StatusNotFound, text+"; "+API+"targets lists them"
	case errors.Is(err, ErrNoSubject):
		code, text = http.StatusNotFound, text+"; "+API+"journal lists what is known"
	case r.Context().Err() != nil:
		code = 499 // the client is gone, nobody reads this
	default:
		l.log.Error("request not answered", "path", r.URL.Path, "err", err)
	}
	l.answer(w, code, envelope{Status: "error", Error: text})
}

func (l *Ledger) answer(w http.ResponseWriter, code int, e envelope) {
	raw, err := json.Marshal(e)
	if err != nil {
		l.log.Error("answer not encoded", "err", err)
		code, raw = http.StatusInternalServerError, []byte(`{"status":"error","error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(raw, '\n')) // a client that is gone
}
