package page

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/colliehq/collie/signal"
)

// Sizes of the list. They bound a page of 5,000 targets as of 5.
const (
	pageSize     = 100
	barCells     = 96 // 15 min each
	maxIntervals = 20000
)

// index is the data of the page at /.
type index struct {
	frame
	Summary  summary
	Barks    []piece // what fires, and whether people can hear it
	Blind    []blindness
	Chips    []chip
	Filter   filter
	Tiers    []string
	Notice   string
	Empty    bool // no target is configured
	Broken   []row
	Working  []row
	NBroken  string // before paging
	NWorking string
	Pager    pager
}

// chip is a state with the number of targets in it, as a link that shows them.
type chip struct {
	State signal.State // "" for all
	N     string
	URL   string
	Here  bool
}

// sortTargets orders by badness, then tier, then name.
func sortTargets(targets []Target) {
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(badnessOf(a.State), badnessOf(b.State)),
			cmp.Compare(tierOf(a.Tier), tierOf(b.Tier)), cmp.Compare(a.Name, b.Name))
	})
}

func (p *Page) serveIndex(_ http.ResponseWriter, r *http.Request) *view {
	targets, err := p.o.Source.Targets(r.Context())
	if err != nil {
		return p.failed(r, err)
	}
	targets = slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.Removed })
	for i := range targets {
		targets[i].State = known(targets[i].State)
	}
	sortTargets(targets)

	v := index{Summary: summarize(targets), Filter: readFilter(r.URL.Query()), Empty: len(targets) == 0}
	v.frame = p.frame(r, "targets", v.Summary.Title)
	v.Icon, v.JSON = p.icon(v.Summary.State), apiTargets
	v.Barks = p.barks(r)
	v.Blind = p.clock().blind(targets)
	v.Chips = chips(r.URL, v.Filter, targets)
	v.Tiers = tiers(targets)

	shown := slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return !v.Filter.match(t) })
	working := 0
	for _, t := range shown {
		if t.State == signal.Up {
			working++
		}
	}
	v.NWorking, v.NBroken = count(working), count(len(shown)-working)
	v.Pager, shown = paged(r.URL, shown, pageSize, targetCount)
	v.fill(p.clock(), shown, targets)
	if err := p.addBars(r.Context(), &v); err != nil {
		p.o.Log.Error("the intervals cannot be read", "path", r.URL.Path, "err", err)
		v.Notice = "The states below are right, but the last 24 hours cannot be read now: " + line(err.Error(), maxCause)
	}
	return &view{status: http.StatusOK, tmpl: p.index, data: v}
}

// fill makes the rows of the targets on this page.
func (v *index) fill(c clock, shown, all []Target) {
	states := make(map[string]signal.State, len(all))
	for _, t := range all {
		states[t.Name] = t.State
	}
	for _, t := range shown {
		row := c.row(t, states)
		if t.State == signal.Up {
			v.Working = append(v.Working, row)
		} else {
			v.Broken = append(v.Broken, row)
		}
	}
}

// addBars reads the last day of the targets on this page, and only theirs.
func (p *Page) addBars(ctx context.Context, v *index) error {
	var names []string
	for _, rows := range [][]row{v.Broken, v.Working} {
		for _, r := range rows {
			names = append(names, r.key)
		}
	}
	if len(names) == 0 {
		return nil
	}
	c := p.clock()
	from := c.now.Add(-day)
	intervals, more, err := p.o.Source.Intervals(ctx, IntervalQuery{
		Targets: names, From: from, To: c.now, Limit: maxIntervals, Brief: true,
	})
	if err != nil {
		return err
	}
	if more != "" {
		v.Notice = "So many changes: the bars below lack the older part of the last 24 hours."
	}
	by := map[string][]Interval{}
	for _, i := range intervals {
		by[i.Target] = append(by[i.Target], i)
	}
	for _, rows := range [][]row{v.Broken, v.Working} {
		for i := range rows {
			rows[i].Bar = drawBar(c, by[rows[i].key], from, c.now, barCells)
		}
	}
	return nil
}

func chips(u *url.URL, f filter, targets []Target) []chip {
	n := map[signal.State]int{}
	for _, t := range targets {
		n[t.State]++
	}
	at := func(state string) string {
		q := u.Query()
		q.Del("page")
		q.Set("state", state)
		return query("/", q)
	}
	out := []chip{{N: count(len(targets)), URL: at(""), Here: f.State == ""}}
	for _, s := range badness() {
		if n[s] > 0 || f.State == string(s) {
			out = append(out, chip{State: s, N: count(n[s]), URL: at(string(s)), Here: f.State == string(s)})
		}
	}
	return out
}

func tiers(targets []Target) []string {
	var out []string
	for _, t := range targets {
		tier := line(t.Tier, maxName)
		if tier != "" && !slices.Contains(out, tier) && len(out) < maxNames {
			out = append(out, tier)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(tierOf(a), tierOf(b)), cmp.Compare(a, b)) })
	return out
}
