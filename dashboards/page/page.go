// Package page is the built-in status page: what is broken now, since when and
// why, as HTML that needs neither a script nor anything from another server.
//
// It reads the record through Source and writes nothing. Whatever it shows was
// said by someone else (a cause, an exchange, a name from a file), so all of it
// is clipped to a length, freed of control characters and escaped.
package page

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Options are what a Page is built from. Source is required.
type Options struct {
	Source   Source
	Barks    Barks            // alerts and IRC; nil: there is no page about them
	Version  string           // shown in the footer
	Docs     string           // address of the documentation; default: the project's
	Location *time.Location   // of the times shown; default UTC
	Timeout  time.Duration    // for what one page reads; default 10 s
	Now      func() time.Time // default time.Now
	Log      *slog.Logger     // default slog.Default
}

const defaultDocs = "https://github.com/colliehq/collie/tree/main/docs"

// Page serves the built-in pages.
type Page struct {
	o      Options
	assets assets
	index  *template.Template
	target *template.Template
	list   *template.Template // the journal
	alerts *template.Template
	note   *template.Template // 404 and other single messages
}

// New makes a Page. It reads nothing yet.
func New(o Options) *Page {
	if o.Docs == "" {
		o.Docs = defaultDocs
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Page{
		o: o, assets: loadAssets(),
		index: parse("index.html"), target: parse("target.html"),
		list: parse("journal.html"), alerts: parse("alerts.html"), note: parse("note.html"),
	}
}

// Register adds the pages to mux: /, /targets/{name}, /journal, /alerts if there
// are Barks, /assets/ and, for every path that nobody else claims, a 404 that
// helps.
//
// The patterns carry no method. Another room serves /targets/metrics, and a
// pattern with a method would be in conflict with one that has none.
func (p *Page) Register(mux *http.ServeMux) {
	mux.Handle("/{$}", p.handler(p.serveIndex))
	mux.Handle("/targets/{name}", p.handler(p.serveTarget))
	mux.Handle("/targets/{name}/{$}", p.handler(p.serveTarget)) // see targetURL
	mux.Handle("/journal", p.handler(p.serveJournal))
	if p.o.Barks != nil {
		mux.Handle("/alerts", p.handler(p.serveAlerts))
	}
	mux.Handle("/assets/{file}", p.handler(p.serveAsset))
	mux.Handle("/", p.handler(p.serveNotFound))
}

// view is one answer: a status, and the data of a template. Handlers return it
// and never write themselves, so that a template that fails half way cannot
// leave half a page behind.
type view struct {
	status int
	tmpl   *template.Template
	data   any
}

func (p *Page) handler(f func(w http.ResponseWriter, r *http.Request) *view) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this page only answers GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), p.o.Timeout)
		defer cancel()
		if v := f(w, r.WithContext(ctx)); v != nil {
			p.write(w, r, v)
		}
	})
}

// secure sets what every answer carries: nothing may be loaded from elsewhere,
// nothing may run, nobody may frame us, and no link tells where it came from.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func (p *Page) write(w http.ResponseWriter, r *http.Request, v *view) {
	var b bytes.Buffer
	if err := v.tmpl.ExecuteTemplate(&b, "layout", v.data); err != nil {
		p.o.Log.Error("the page cannot be rendered", "path", r.URL.Path, "err", err)
		http.Error(w, "this page cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	if v.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "10")
	}
	w.WriteHeader(v.status)
	_, _ = w.Write(b.Bytes()) // the reader is gone: nothing to tell anyone
}

// failed answers for a Source that could not be read.
func (p *Page) failed(r *http.Request, err error) *view {
	switch {
	case errors.Is(err, ErrCursor):
		return p.message(r, http.StatusBadRequest, note{
			Title: "This place in the list is gone",
			Text:  "The address points into a list at a place that the record does not know. Begin with the newest entries again.",
		})
	case r.Context().Err() == context.Canceled: // the reader left
	default:
		p.o.Log.Error("the record cannot be read", "path", r.URL.Path, "err", err)
	}
	return p.message(r, http.StatusServiceUnavailable, note{
		Title: "The record cannot be read",
		Text: "So this page cannot say what is up or down. Collie goes on probing, " +
			"keeps its verdicts in memory, and writes them down once the record works again.",
		Detail: cleanText(err.Error(), 1000),
		Hint:   "Look at Collie's log, and at the free space where --storage.path lies. Then load this page again.",
	})
}

func (p *Page) message(r *http.Request, status int, n note) *view {
	n.frame = p.frame(r, "", n.Title)
	if status != http.StatusServiceUnavailable {
		n.Refresh, n.Reload = 0, "" // it would not become better
	}
	return &view{status: status, tmpl: p.note, data: n}
}
