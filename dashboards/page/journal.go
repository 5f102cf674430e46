package page

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/colliehq/collie/signal"
)

const (
	entriesShown = 100
	maxLabels    = 12 // of one signal
)

// journal is the data of the page at /journal.
type journal struct {
	frame
	Kind    string
	Subject string
	Kinds   []signal.Kind
	Entries []entry
	Pager   pager
}

// entry is one signal in the journal.
type entry struct {
	ID       string
	Kind     string
	At       moment
	Late     string // how much later it was recorded, if that is worth telling
	Subject  string
	URL      string // of the subject
	State    signal.State
	Previous signal.State
	Status   string
	Text     string
	Rule     string
	Source   string
	Labels   []string
	Body     string
}

func (p *Page) serveJournal(_ http.ResponseWriter, r *http.Request) *view {
	q := r.URL.Query()
	v := journal{
		frame: p.frame(r, "journal", "Journal"), Kinds: signal.Kinds(),
		Kind: q.Get("kind"), Subject: line(q.Get("subject"), signal.MaxSubject),
	}
	if !slices.Contains(v.Kinds, signal.Kind(v.Kind)) {
		v.Kind = ""
	}
	cursor := q.Get("before")
	entries, next, err := p.o.Source.Journal(r.Context(), JournalQuery{
		Kind: signal.Kind(v.Kind), Subject: v.Subject, Cursor: cursor, Limit: entriesShown,
	})
	if err != nil {
		return p.failed(r, err)
	}
	v.JSON = query(apiJournal, url.Values{"kind": {v.Kind}, "subject": {v.Subject}})
	v.Entries, v.Pager = p.clock().entries(entries), byCursor(r.URL, cursor, next, "")
	return &view{status: http.StatusOK, tmpl: p.list, data: v}
}

func (c clock) entries(in []JournalEntry) []entry {
	out := make([]entry, 0, len(in))
	for _, e := range in {
		out = append(out, c.entry(e))
	}
	return out
}

func (c clock) entry(e JournalEntry) entry {
	s := e.Signal
	out := entry{
		ID: line(s.ID, signal.MaxID), Kind: line(string(s.Kind), maxName), At: c.moment(s.Observed),
		Subject: line(s.Subject, 2*maxName), Status: line(string(s.Status), maxName), Source: line(s.Source, maxName),
	}
	if late := e.Recorded.Sub(s.Observed); !e.Recorded.IsZero() && late >= lateAfter {
		out.Late = lasted(late)
	}
	if name, ok := strings.CutPrefix(s.Subject, string(signal.KindTarget)+"/"); ok && name != "" {
		out.URL = targetURL(name)
	}
	if t, err := s.Target(); err == nil {
		out.tellTarget(t)
		return out
	}
	if a, err := s.Action(); err == nil && a.Text != "" {
		out.Text, out.Labels = line(a.Text, maxCause), labels(s.Labels)
		return out
	}
	out.Text = line(cmp.Or(s.Annotations["summary"], s.Annotations["description"], s.Annotations["cause"]), maxCause)
	out.Labels = labels(s.Labels)
	out.Body = cleanText(string(s.Body), maxFolded)
	return out
}

// tellTarget says a transition in place of its JSON.
func (e *entry) tellTarget(t signal.Target) {
	e.State, e.Previous = known(t.State), t.Previous
	if !e.Previous.Valid() {
		e.Previous = ""
	}
	e.Text = line(t.Cause, maxCause)
	if t.Reason != "" {
		e.Text = strings.TrimSuffix(line(t.Reason, maxName)+": "+e.Text, ": ")
	}
	e.Rule, e.Body = line(t.Rule, maxCause), cleanText(t.Evidence, maxFolded)
	switch {
	case t.Removed:
		e.Text = "left the configuration"
	case t.Snapshot:
		e.Text = strings.TrimSuffix("as found at the exporter's start: "+e.Text, ": ")
	}
}

func labels(pairs map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if len(out) == maxLabels {
			return append(out, "…")
		}
		out = append(out, line(name, maxName)+"="+line(pairs[name], maxName))
	}
	return out
}

// lateAfter is when the way from the observation to the record was long enough
// to be told: the disk was full, or the exporter was away.
const lateAfter = day / (24 * 60)
