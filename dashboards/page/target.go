package page

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/colliehq/collie/signal"
)

// What the page of one target shows.
const (
	month          = 30 * day
	intervalsShown = 50
	journalShown   = 10
	detailCells    = 288 // 24 h: 5 min each; 30 d: 2.5 h each
	maxNeeded      = 100 // names of targets that depend on this one
)

// Addresses of the API that the page points to.
const (
	apiTargets   = "/api/collie/v1/targets"
	apiIntervals = "/api/collie/v1/intervals"
	apiJournal   = "/api/collie/v1/journal"
	apiWhy       = "/api/collie/v1/why"
)

// detail is the data of the page of one target.
type detail struct {
	frame
	row
	Subject   string
	Rule      string
	Every     string
	Source    string
	Evidence  string
	Removed   bool
	NeededBy  []neighbour
	Hidden    int // of those, not listed
	Available []availability
	Day       bar
	Month     bar
	Intervals []stretch
	Newest    bool
	Pager     pager
	Journal   []entry
	Whole     string // address of the whole journal of this subject
	Notice    string
	API       []piece
}

// availability is one line of the numbers.
type availability struct {
	Span      string
	Ratio     string // "" if nothing is known
	Down      string
	Downtimes string
	Unknown   string
	Other     string // maintenance and unreachable, if there was any
}

// stretch is one interval in the table.
type stretch struct {
	State    signal.State
	From, To moment
	Lasted   string
	Reason   string
	Cause    string
	Evidence string
	Rule     string
}

func (p *Page) serveTarget(_ http.ResponseWriter, r *http.Request) *view {
	name := r.PathValue("name")
	t, err := p.o.Source.Target(r.Context(), name)
	switch {
	case errors.Is(err, ErrNotFound):
		return p.noTarget(r, name)
	case err != nil:
		return p.failed(r, err)
	}
	all, err := p.o.Source.Targets(r.Context())
	if err != nil {
		return p.failed(r, err)
	}
	t.State = known(t.State)
	v := p.describe(r, t, all)
	if err := p.addRecord(r, &v, t.Name); err != nil {
		if errors.Is(err, ErrCursor) {
			return p.failed(r, err)
		}
		p.o.Log.Error("the record of a target cannot be read", "target", t.Name, "err", err)
		v.Notice = "The state is right, but a part of the record below cannot be read now: " + line(err.Error(), maxCause)
	}
	return &view{status: http.StatusOK, tmpl: p.target, data: v}
}

// describe makes what is known without the record's history.
func (p *Page) describe(r *http.Request, t Target, all []Target) detail {
	c := p.clock()
	states := make(map[string]signal.State, len(all))
	var needed []neighbour
	for _, o := range all {
		if o.Removed {
			continue
		}
		states[o.Name] = known(o.State)
		if slices.Contains(o.DependsOn, t.Name) {
			needed = append(needed, neighbour{line(o.Name, maxName), targetURL(o.Name), known(o.State)})
		}
	}
	slices.SortFunc(needed, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(badnessOf(a.State), badnessOf(b.State)), cmp.Compare(a.Name, b.Name))
	})
	subject := signal.TargetSubject(t.Name)
	v := detail{
		frame: p.frame(r, "", capital(t.State)+": "+line(t.Name, maxName)), row: c.row(t, states),
		Subject: line(subject, maxName), Rule: line(t.Rule, maxCause), Every: line(t.Every, maxName),
		Source: line(t.Source, maxName), Evidence: cleanText(t.Evidence, maxEvidence), Removed: t.Removed,
		Whole: query("/journal", url.Values{"subject": {subject}}),
	}
	v.Cause = line(t.Cause, 4*maxCause) // there is room here
	v.Hidden = max(0, len(needed)-maxNeeded)
	v.NeededBy = needed[:len(needed)-v.Hidden]
	v.Icon = p.icon(t.State)
	v.JSON = apiTargets + "/" + url.PathEscape(t.Name)
	v.API = []piece{
		{"target", v.JSON},
		{"intervals", query(apiIntervals, url.Values{"target": {t.Name}})},
		{"journal", query(apiJournal, url.Values{"subject": {subject}})},
		{"why", query(apiWhy, url.Values{"subject": {subject}})},
	}
	return v
}

// addRecord reads the history. What was read before an error stays.
func (p *Page) addRecord(r *http.Request, v *detail, name string) error {
	c, ctx := p.clock(), r.Context()
	if err := p.addIntervals(r, c, v, name); err != nil {
		return err
	}
	var err error
	if v.Day, err = p.bar(ctx, c, name, day); err != nil {
		return err
	}
	if v.Month, err = p.bar(ctx, c, name, month); err != nil {
		return err
	}
	for _, d := range []time.Duration{day, 7 * day, month} {
		a, err := p.o.Source.Availability(ctx, name, c.now.Add(-d), c.now)
		if err != nil {
			return err
		}
		v.Available = append(v.Available, a.line(d))
	}
	entries, _, err := p.o.Source.Journal(ctx, JournalQuery{Subject: signal.TargetSubject(name), Limit: journalShown})
	if err != nil {
		return err
	}
	v.Journal = c.entries(entries)
	return nil
}

func (p *Page) bar(ctx context.Context, c clock, name string, d time.Duration) (bar, error) {
	intervals, _, err := p.o.Source.Intervals(ctx, IntervalQuery{
		Targets: []string{name}, From: c.now.Add(-d), To: c.now, Limit: maxIntervals, Brief: true,
	})
	if err != nil {
		return bar{}, err
	}
	return drawBar(c, intervals, c.now.Add(-d), c.now, detailCells), nil
}

func (p *Page) addIntervals(r *http.Request, c clock, v *detail, name string) error {
	cursor := r.URL.Query().Get("before")
	intervals, next, err := p.o.Source.Intervals(r.Context(), IntervalQuery{
		Targets: []string{name}, From: c.now.Add(-month), To: c.now, Cursor: cursor, Limit: intervalsShown,
	})
	if err != nil {
		return err
	}
	v.Newest = cursor == ""
	v.Pager = byCursor(r.URL, cursor, next, "#intervals")
	for _, i := range intervals {
		s := stretch{
			State: known(i.State), From: c.moment(i.From), To: c.moment(i.To), Lasted: lasted(i.To.Sub(i.From)),
			Reason: line(i.Reason, maxName), Cause: line(i.Cause, maxCause), Rule: line(i.Rule, maxCause),
			Evidence: cleanText(i.Evidence, maxFolded),
		}
		if i.To.IsZero() {
			s.Lasted = s.From.For
		}
		v.Intervals = append(v.Intervals, s)
	}
	return nil
}

func (a Availability) line(d time.Duration) availability {
	l := availability{Span: span(d), Down: lasted(a.Down), Downtimes: count(a.Downtimes), Unknown: lasted(a.Unknown)}
	if ratio, ok := a.Ratio(); ok {
		l.Ratio = percent(ratio)
	}
	for _, o := range []struct {
		d    time.Duration
		name string
	}{{a.Unreachable, "unreachable"}, {a.Maintenance, "maintenance"}} {
		if o.d > 0 {
			if l.Other != "" {
				l.Other += ", "
			}
			l.Other += o.name + " " + lasted(o.d)
		}
	}
	return l
}
