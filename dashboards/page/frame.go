package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"github.com/colliehq/collie/signal"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// parse makes the set of one page: the layout, the shared parts and the page.
func parse(name string) *template.Template {
	return template.Must(template.ParseFS(templateFiles,
		"templates/layout.html", "templates/parts.html", "templates/"+name))
}

// asset is a file that a page refers to, under a name that changes with its
// content, so that browsers may keep it for ever.
type asset struct {
	body        []byte
	contentType string
}

type assets struct {
	byURL map[string]asset  // "page-0123456789abcdef.css"
	url   map[string]string // "page.css" → "/assets/page-0123456789abcdef.css"
}

func loadAssets() assets {
	types := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	a := assets{byURL: map[string]asset{}, url: map[string]string{}}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic("page: " + err.Error()) // embedded: cannot be
	}
	for _, e := range entries {
		body, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic("page: " + err.Error())
		}
		sum, ext := sha256.Sum256(body), path.Ext(e.Name())
		name := e.Name()[:len(e.Name())-len(ext)] + "-" + hex.EncodeToString(sum[:8]) + ext
		a.byURL[name] = asset{body: body, contentType: types[ext]}
		a.url[e.Name()] = "/assets/" + name
	}
	return a
}

func (p *Page) serveAsset(w http.ResponseWriter, r *http.Request) *view {
	a, ok := p.assets.byURL[r.PathValue("file")]
	if !ok {
		return p.serveNotFound(w, r)
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	_, _ = w.Write(a.body) // the reader is gone: nothing to tell anyone
	return nil
}

// frame is what the layout needs, whatever the page.
type frame struct {
	Title   string
	Here    string // which link of the header is this page: "targets", "alerts", "journal"
	Alerts  bool   // there is a page of alerts
	CSS     string
	Icon    string
	Now     moment
	Version string
	Docs    string
	JSON    string // the same as JSON, if there is such an address
	Refresh int    // seconds; 0: never
	Reload  string // address that turns refreshing on or off
	States  []signal.State
	Legend  []barPath
}

func (p *Page) frame(r *http.Request, here, title string) frame {
	f := frame{
		Title: title, Here: here, Alerts: p.o.Barks != nil, Version: p.o.Version, Docs: p.o.Docs,
		CSS: p.assets.url["page.css"], Icon: p.assets.url["icon.svg"],
		Now: p.clock().moment(p.o.Now()), States: badness(), Legend: legend(),
		Refresh: refresh(r.URL.Query().Get("refresh")),
	}
	next := "30"
	if f.Refresh > 0 {
		next = ""
	}
	f.Reload = with(r.URL, "refresh", next)
	return f
}

// icon picks the picture in the browser's tab for the worst state.
func (p *Page) icon(worst signal.State) string {
	switch worst {
	case signal.Up, signal.Maintenance:
		return p.assets.url["icon-up.svg"]
	case signal.Down, signal.Unreachable:
		return p.assets.url["icon-down.svg"]
	default:
		return p.assets.url["icon-unsure.svg"]
	}
}

// refresh reads the parameter: 5 s to an hour, anything else is never.
func refresh(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil || n < 5 || n > 3600 {
		return 0
	}
	return n
}

func (p *Page) clock() clock { return clock{now: p.o.Now(), loc: p.o.Location} }

// with is the address of u with one parameter changed, "" removing it.
func with(u *url.URL, key, value string) string {
	q := u.Query()
	q.Del(key)
	if value != "" {
		q.Set(key, value)
	}
	return query(u.Path, q)
}

// query is a path with the parameters that are not empty.
func query(path string, q url.Values) string {
	for k, v := range q {
		if len(v) == 0 || v[0] == "" {
			delete(q, k)
		}
	}
	u := url.URL{Path: path, RawQuery: q.Encode()}
	return u.String()
}

// targetURL is the page of a target. A target may be called "metrics", and
// /targets/metrics is the exporters' own; a slash tells them apart.
func targetURL(name string) string {
	if len(name) > signal.MaxSubject {
		return "/" // no configuration allows it
	}
	u := "/targets/" + url.PathEscape(name)
	if name == "metrics" {
		u += "/"
	}
	return u
}

// day is the window of the bars in the list.
const day = 24 * time.Hour
