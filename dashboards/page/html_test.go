package page_test

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/dashboards/page/internal/fixture"
)

// TestHTML holds every page against the rules that a validator and a screen
// reader would.
func TestHTML(t *testing.T) {
	eachScene(t, func(t *testing.T, _ scene, w *httptest.ResponseRecorder) {
		body := w.Body.String()
		checkBalance(t, body)
		doc := parse(t, body)
		checkIDs(t, doc)
		checkNames(t, doc)
		checkHeadings(t, doc)
		checkSelfContained(t, doc)
	})
}

func parse(t *testing.T, body string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// checkBalance asks that what is opened is closed in order. The parser itself
// would repair it silently.
func checkBalance(t *testing.T, body string) {
	t.Helper()
	void := []string{"meta", "link", "img", "input", "br", "hr"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		switch {
		case d.Type == html.TextNode:
			b.WriteString(d.Data)
		case slices.Contains([]string{"dt", "dd", "td", "th", "p", "li", "h1", "h2", "figcaption"}, d.Data):
			b.WriteString(" ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func elements(doc *html.Node, names ...string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, n.Data)) {
			out = append(out, n)
		}
	}
	return out
}

// checkIDs asks for unique ids, and that whatever points to one finds it.
func checkIDs(t *testing.T, doc *html.Node) {
	t.Helper()
	ids := map[string]bool{}
	for _, n := range elements(doc) {
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("two elements have the id %q", id)
			}
			ids[id] = true
		}
	}
	for _, n := range elements(doc) {
		for _, ref := range []string{attr(n, "aria-labelledby"), attr(n, "for"), strings.TrimPrefix(attr(n, "href"), "#")} {
			if ref != "" && !strings.ContainsAny(ref, "/:") && !ids[ref] {
				t.Errorf("<%s> points to the id %q, which is nowhere", n.Data, ref)
			}
		}
	}
}

// checkNames asks that everything has a name that can be read out.
func checkNames(t *testing.T, doc *html.Node) {
	t.Helper()
	labelled := map[string]bool{}
	for _, l := range elements(doc, "label") {
		labelled[attr(l, "for")] = text(l) != ""
	}
	for _, n := range elements(doc) {
		ok := true
		switch n.Data {
		case "html":
			ok = attr(n, "lang") != ""
		case "title", "a", "button", "h1", "h2", "th", "summary", "option", "label":
			ok = text(n) != ""
		case "input", "select":
			ok = attr(n, "type") == "hidden" || labelled[attr(n, "id")]
		case "img":
			ok = slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "alt" })
		case "svg":
			ok = attr(n, "aria-hidden") == "true" || attr(n, "role") == "img" && len(elements(n, "title")) == 1 && text(elements(n, "title")[0]) != ""
		case "nav", "section", "form":
			ok = attr(n, "aria-label") != "" || attr(n, "aria-labelledby") != "" || attr(n, "class") == "prose"
		case "time":
			ok = attr(n, "datetime") != "" && text(n) != ""
		}
		if n.Data == "th" && attr(n, "scope") == "" {
			t.Errorf("a heading of a table has no scope: %s", text(n))
		}
		if !ok {
			t.Errorf("<%s %v> has no name", n.Data, n.Attr)
		}
	}
}

func checkHeadings(t *testing.T, doc *html.Node) {
	t.Helper()
	for _, one := range []string{"h1", "main", "title", "header", "footer"} {
		if n := len(elements(doc, one)); one != "title" && n != 1 || n == 0 {
			t.Errorf("%d <%s>, want 1", n, one)
		}
	}
	if first := elements(doc, "a")[0]; attr(first, "href") != "#main" {
		t.Error("the first link does not skip to the content")
	}
	if n := elements(doc, "h3", "h4"); len(n) > 0 {
		t.Errorf("a heading of a level that no page needs: %s", text(n[0]))
	}
}

// checkSelfContained asks that nothing runs, and nothing comes from elsewhere.
func checkSelfContained(t *testing.T, doc *html.Node) {
	t.Helper()
	for _, n := range elements(doc) {
		switch n.Data {
		case "script", "style", "iframe", "object", "embed", "base":
			t.Errorf("the page has a <%s>", n.Data)
		case "link", "img", "form", "use":
			for _, a := range n.Attr {
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("<%s %s=%q> leaves this server", n.Data, a.Key, a.Val)
				}
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" ||
				(a.Key == "href" || a.Key == "src" || a.Key == "action") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				t.Errorf("<%s %s=%q> would run or be refused", n.Data, a.Key, a.Val)
			}
		}
	}
}

// TestStatesHaveWords asks that each symbol of a state has its word beside it.
func TestStatesHaveWords(t *testing.T) {
	eachScene(t, func(t *testing.T, _ scene, w *httptest.ResponseRecorder) {
		for _, use := range elements(parse(t, w.Body.String()), "use") {
			state := strings.ReplaceAll(strings.TrimPrefix(attr(use, "href"), "#i-"), "-", " ")
			if state == "bell" || state == "other" {
				continue // stands for no state
			}
			around := use.Parent.Parent
			if strings.Contains(attr(around, "class"), state) && text(around) == "" {
				around = around.Parent
			}
			words := strings.ToLower(text(around))
			if attr(around, "class") != "notice" && !strings.Contains(words, state) && !strings.Contains(words, "known") && !strings.Contains(words, "no targets") {
				t.Errorf("the symbol of %s stands beside %q", state, words)
			}
		}
	})
}

// TestLinks follows every link of this server from the first page on.
func TestLinks(t *testing.T) {
	h := serveWith(page.Options{Source: fixture.Site(fixture.Now()), Barks: fixture.Loud(fixture.Now())})
	seen := map[string]bool{"/": true, "/?page=2": true, "/no/such/page": true}
	todo := []string{"/", "/no/such/page"}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		w := get(t, h, at)
		if at == "/no/such/page" && w.Code == 404 {
			w.Code = 200
		}
		if w.Code != 200 {
			t.Errorf("%s has status %d", at, w.Code)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		for _, n := range elements(parse(t, w.Body.String()), "a", "link", "img") {
			to := attr(n, "href") + attr(n, "src")
			u, err := url.Parse(to)
			if err != nil {
				t.Fatalf("%s links to %q: %v", at, to, err)
			}
			next := u.RequestURI()
			if u.Host != "" || u.Path == "" || seen[next] {
				continue
			}
			seen[next] = true
			todo = append(todo, next)
			if len(seen) > 2000 {
				t.Fatal("the links never end")
			}
		}
	}
	for _, want := range []string{"/targets/gitlab", "/alerts", "/journal", "/?state=down", "/metrics", "/config", "/api/collie/v1/targets", "/?refresh=30"} {
		if !seen[want] {
			t.Errorf("no link leads to %s", want)
		}
	}
}
