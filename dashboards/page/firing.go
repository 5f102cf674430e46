package page

import (
	"cmp"
	"maps"
	"net/url"
	"slices"

	"github.com/colliehq/collie/signal"
)

// alertRow is one alert in the list.
type alertRow struct {
	Severity  string // as the alert says it
	Class     string // one of severities: chooses symbol and colour
	Name      string
	Journal   string // address
	Target    string
	URL       string // of the target
	Summary   string
	Since     moment
	Receivers []string
	More      int // receivers that are not listed
	Silent    bool
	Reasons   []reason // why it is silent
	Unsettled bool     // Alertmanager has not decided yet
	Labels    []string
	Runbook   string // address
	Subject   string
	Detail    string
}

// reason is why an alert is not told.
type reason struct {
	Text string
	Note string // for whoever wants to do something about it
}

// severities are those that have a symbol, worst first; other is any other.
func severities() []string { return []string{"critical", "warning", "other", "info"} }

func severityOf(a Alert) (class, text string) {
	text = line(a.Labels["severity"], maxName)
	if text != "other" && slices.Contains(severities(), text) {
		return text, text
	}
	return "other", cmp.Or(text, "not said")
}

// silent reports whether Alertmanager keeps the alert from everyone.
func (a Alert) silent() bool {
	return len(a.SilencedBy)+len(a.InhibitedBy) > 0 || a.State == "suppressed"
}

// alertRows puts what is told before what is muted, then the worst first, then
// what fires for the longest.
func (c clock) alertRows(firing []Alert) []alertRow {
	by := make(map[string]Alert, len(firing))
	for _, a := range firing {
		by[a.Fingerprint] = a
	}
	order := slices.Clone(firing)
	rank := func(a Alert) int {
		class, _ := severityOf(a)
		n := slices.Index(severities(), class)
		if a.silent() {
			n += len(severities())
		}
		return n
	}
	slices.SortStableFunc(order, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Started.Compare(b.Started), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	rows := make([]alertRow, 0, len(order))
	for _, a := range order {
		rows = append(rows, c.alertRow(a, by))
	}
	return rows
}

func (c clock) alertRow(a Alert, by map[string]Alert) alertRow {
	row := alertRow{
		Name: cmp.Or(line(a.Name, maxName), "(no name)"), Since: c.moment(a.Started),
		Summary: line(cmp.Or(a.Annotations["summary"], a.Annotations["description"]), maxCause),
		Silent:  a.silent(), Unsettled: a.State == "unprocessed", Reasons: c.reasons(a, by),
	}
	row.Class, row.Severity = severityOf(a)
	if target := a.Labels["target"]; target != "" {
		row.Target, row.URL = line(target, maxName), targetURL(target)
	}
	if subject := signal.AlertSubject(a.Name, a.Fingerprint); len(subject) <= signal.MaxSubject {
		row.Subject, row.Journal = line(subject, signal.MaxSubject), journalURL(subject)
	}
	row.More = max(0, len(a.Receivers)-maxNames)
	for _, r := range a.Receivers[:len(a.Receivers)-row.More] {
		row.Receivers = append(row.Receivers, line(r, maxName))
	}
	row.addDetail(a)
	return row
}

// addDetail adds what is folded away.
func (row *alertRow) addDetail(a Alert) {
	if a.Annotations["summary"] != "" {
		row.Detail = line(a.Annotations["description"], 4*maxCause)
	}
	others := maps.Clone(a.Labels)
	for _, shown := range []string{"alertname", "severity", "target"} {
		delete(others, shown)
	}
	row.Labels = labels(others)
	_, row.Runbook = webAddress(a.Annotations["runbook_url"])
}

// reasons says why an alert is muted, silences before inhibitions.
func (c clock) reasons(a Alert, by map[string]Alert) []reason {
	var out []reason
	for _, s := range a.SilencedBy {
		if len(out) < reasonsShown {
			out = append(out, c.silenced(s))
		}
	}
	for _, fp := range a.InhibitedBy {
		if len(out) < reasonsShown {
			out = append(out, inhibited(fp, by))
		}
	}
	switch all := len(a.SilencedBy) + len(a.InhibitedBy); {
	case all > len(out):
		out = append(out, reason{Text: "muted for " + count(all-len(out)) + agree(all-len(out), " more reason", " more reasons")})
	case a.silent() && all == 0:
		out = append(out, reason{Text: "muted, perhaps by a time interval of its route: Alertmanager does not say"})
	}
	return out
}

func inhibited(fp string, by map[string]Alert) reason {
	if other, ok := by[fp]; ok {
		return reason{Text: "muted while " + other.title() + " fires (inhibited)"}
	}
	return reason{Text: "muted by an alert that is not listed here (inhibited)", Note: line(fp, maxName)}
}

func (c clock) silenced(s Silence) reason {
	text := "muted by a silence"
	if by := line(s.By, maxName); by != "" {
		text += " of " + by
	}
	if !s.Until.IsZero() {
		text += " until " + c.moment(s.Until).Text
	}
	if comment := line(s.Comment, maxCause); comment != "" {
		text += ": " + comment
	}
	return reason{Text: text, Note: line(s.ID, maxName)}
}

// title names an alert in a sentence.
func (a Alert) title() string {
	if target := a.Labels["target"]; target != "" {
		return line(a.Name, maxName) + " of " + line(target, maxName)
	}
	return line(a.Name, maxName)
}

func journalURL(subject string) string {
	if subject == "" || len(subject) > signal.MaxSubject {
		return ""
	}
	return query("/journal", url.Values{"subject": {subject}})
}
