package page_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/dashboards/page/internal/fixture"
	"github.com/colliehq/collie/signal"
)

// attacks are texts that would do harm if any place forgot to escape them.
func attacks() map[string]string {
	return map[string]string{
		"element":   `<script>alert(1)</script><img src=x onerror=alert(1)>`,
		"attribute": `" onmouseover="alert(1)" style="background:url(//evil.example)" x='`,
		"end":       `</title></pre></textarea></style></svg></table><script>alert(1)</script>`,
		"scheme":    `javascript:alert(1)//http://x/`,
		"data":      `data:text/html,<script>alert(1)</script>`,
		"comment":   `<!-- --!><![CDATA[ ]]><?php ?>`,
		"template":  `{{.}}{{template "main"}}`,
		"bytes":     "\x00\xff\xfe\u202egnp.exe\u2066\r\n\x1b[31m\u2028",
		"path":      `../../x?y=z#<b>`,
	}
}

// poison sets every text that v holds, however deep, apart from states.
func poison(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		poison(v.Elem(), text)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for _, field := range v.Fields() {
			poison(field, text)
		}
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			poison(v.Index(i), text)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(text), reflect.ValueOf(text))
	}
}

// hostile is a record in which every text is the attack.
func hostile(text string) *fixture.Record {
	now := fixture.Now()
	r := &fixture.Record{}
	for i, state := range append(signal.States(), signal.State(text)) {
		t := page.Target{}
		poison(reflect.ValueOf(&t), text)
		t.State, t.Since, t.Failed, t.Seen = state, now.Add(-time.Hour), now, now
		if i > 0 {
			t.Removed, t.Blind = false, true
		}
		r.All = append(r.All, t)
		iv := page.Interval{}
		poison(reflect.ValueOf(&iv), text)
		iv.State, iv.From, iv.To = state, now.Add(-time.Hour), now
		r.History = append(r.History, iv)
		r.Signals = append(r.Signals, hostileEntry(text), hostileTarget(text, state))
	}
	return r
}

// hostileBarks is what people are told, in which every text is the attack.
func hostileBarks(text string) *fixture.Barks {
	b := &fixture.Barks{}
	for _, connected := range []bool{true, false} {
		a, n, l := page.Alert{}, page.IRCNetwork{}, page.IRCLine{}
		poison(reflect.ValueOf(&a), text)
		a.Labels = map[string]string{"severity": text, "target": text, text: text}
		a.Annotations = map[string]string{"summary": text, "description": text, "runbook_url": text}
		poison(reflect.ValueOf(&n), text)
		poison(reflect.ValueOf(&l), text)
		if !connected {
			a.SilencedBy, a.InhibitedBy = nil, nil
		}
		n.Connected, n.Since, n.NextTry, a.Started = connected, fixture.Now(), fixture.Now(), fixture.Now()
		b.Firing, b.IRC, b.Spool = append(b.Firing, a), append(b.IRC, n), append(b.Spool, l)
	}
	return b
}

func hostileEntry(text string) page.JournalEntry {
	e := page.JournalEntry{}
	poison(reflect.ValueOf(&e), text)
	e.Signal.Subject = signal.TargetSubject(text)
	e.Signal.Observed, e.Recorded = fixture.Now(), fixture.Now().Add(time.Hour)
	e.Signal.Annotations = map[string]string{"summary": text}
	return e
}

func hostileTarget(text string, state signal.State) page.JournalEntry {
	e, body := hostileEntry(text), signal.Target{}
	poison(reflect.ValueOf(&body), text)
	body.State, body.Previous, body.Snapshot = state, signal.State(text), true
	e.Signal.Kind, e.Signal.Body = signal.KindTarget, must(json.Marshal(body))
	return e
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestHostileText(t *testing.T) {
	for name, attack := range attacks() {
		t.Run(name, func(t *testing.T) {
			h := serveWith(page.Options{Source: hostile(attack), Barks: hostileBarks(attack)})
			q := url.QueryEscape(attack)
			for _, at := range []string{
				"/", "/?q=" + q + "&state=" + q + "&tier=" + q + "&refresh=" + q + "&page=" + q, "/targets/" + url.PathEscape(attack),
				"/targets/" + url.PathEscape(attack+"x"), "/journal", "/journal?kind=" + q + "&subject=" + q, "/journal?before=" + q,
				"/alerts", "/alerts?page=" + q + "&refresh=" + q,
				"/" + url.PathEscape(attack),
			} {
				checkHarmless(t, at, get(t, h, at).Body.String())
			}
		})
	}
}

// checkHarmless asks that the page has only the elements that our templates
// write, and that no hidden character reached it.
func checkHarmless(t *testing.T, at, body string) {
	t.Helper()
	if t.Failed() {
		return
	}
	checkBalance(t, body)
	doc := parse(t, body)
	checkSelfContained(t, doc)
	if !utf8.ValidString(body) || strings.ContainsAny(body, "\x00\x1b\u202e\u2066") {
		t.Errorf("%s: hidden characters reached the page", at)
	}
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.CommentNode:
			t.Errorf("%s: a comment: %s", at, n.Data)
		case n.Type != html.ElementNode:
		case n.Data == "b" && attr(n.Parent, "class") != "" && strings.Contains(attr(n.Parent, "class"), "chip"), n.Data == "b" && n.Parent.Data == "td":
		case n.Data == "b", n.Data == "textarea", n.Data == "img" && !strings.HasPrefix(attr(n, "src"), "/assets/"):
			t.Errorf("%s: foreign <%s>", at, n.Data)
		}
		if n.Type == html.ElementNode && n.Data == "a" {
			if u, err := url.Parse(attr(n, "href")); err != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
				t.Errorf("%s: a link to %q", at, attr(n, "href"))
			}
		}
	}
	if t.Failed() {
		t.Logf("at %s", at)
	}
}

func TestCredentialsInAnAddressAreNotShown(t *testing.T) {
	r := fixture.Site(fixture.Now())
	r.All[0].Address = "https://probe:geheim@gitlab.example.org/"
	h := serve(r)
	for _, at := range []string{"/", "/targets/gitlab"} {
		if body := get(t, h, at).Body.String(); strings.Contains(body, "geheim") || !strings.Contains(body, "gitlab.example.org/") {
			t.Errorf("%s shows the password, or no address at all", at)
		}
	}
}

// TestSizeIsBounded renders what the record may hold at worst: 5,000 targets,
// long texts everywhere, a change in every step of each bar.
func TestSizeIsBounded(t *testing.T) {
	many := fixture.Many(fixture.Now(), 5000)
	for at, limit := range map[string]int{
		"/": 640 << 10, "/?page=50": 640 << 10, "/?q=target": 640 << 10, "/?state=up": 640 << 10, "/?page=9999999": 640 << 10,
		"/targets/target-0002": 700 << 10, "/targets/target-zzzz": 8 << 10,
	} {
		w := get(t, serve(many), at)
		t.Logf("%-24s %7d bytes", at, w.Body.Len())
		if w.Body.Len() > limit {
			t.Errorf("%s has %d bytes, more than %d", at, w.Body.Len(), limit)
		}
	}
	long := hostile(strings.Repeat("a very long text ", 1<<14))
	for range 200 {
		long.Signals = append(long.Signals, hostileEntry(strings.Repeat("x", 1<<18)))
	}
	storm := serveWith(page.Options{Source: long, Barks: fixture.Storm(fixture.Now(), 500)})
	for _, at := range []string{"/", "/journal", "/alerts", "/alerts?page=5", "/alerts?page=99"} {
		w := get(t, storm, at)
		t.Logf("%-24s %7d bytes", at, w.Body.Len())
		if w.Body.Len() > 1<<20 {
			t.Errorf("%s has %d bytes with long texts", at, w.Body.Len())
		}
	}
}
