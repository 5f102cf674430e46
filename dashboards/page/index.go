package page

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

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
	Blind    []blindness
	Chips    []chip
	Filter   filter
	Tiers    []string
	Notice   string
	Empty    bool // no target is configured
	Broken   []row
	Working  []row
	NBroken  int // before paging
	NWorking int
	Pager    pager
}

// row is one target in the list.
type row struct {
	key      string // the name as the record has it
	State    signal.State
	Name     string
	URL      string
	Tier     string
	Address  string
	Href     string
	Probe    string
	Since    moment
	Reason   string
	Cause    string
	Failed   moment // of an up target: when it failed last
	Blind    bool
	Seen     moment
	Bar      bar
	Depends  []neighbour
	More     int // dependencies that are not listed
	Provides []piece
}

// neighbour is a target at the other end of a dependency.
type neighbour struct {
	Name  string
	URL   string
	State signal.State // "" if it is not configured
}

// blindness is an exporter that nobody has heard of for too long.
type blindness struct {
	Source  string
	Seen    moment
	Targets string // "14 targets"
}

// chip is a state with the number of targets in it, as a link that shows them.
type chip struct {
	State signal.State // "" for all
	N     string
	URL   string
	Here  bool
}

// filter is what the reader asked to see.
type filter struct {
	Q, State, Tier string
}

// Active reports whether anything is left out.
func (f filter) Active() bool { return f != filter{} }

func readFilter(q url.Values) filter {
	f := filter{Q: line(q.Get("q"), maxName), State: q.Get("state"), Tier: line(q.Get("tier"), maxName)}
	if !signal.State(f.State).Valid() {
		f.State = ""
	}
	return f
}

// match looks for every word of the text in what is known of the target.
func (f filter) match(t Target) bool {
	if f.State != "" && string(t.State) != f.State || f.Tier != "" && line(t.Tier, maxName) != f.Tier {
		return false
	}
	hay := strings.ToLower(strings.Join([]string{
		t.Name, t.Address, t.Probe, t.Reason, t.Cause, t.Source,
		strings.Join(t.Provides, " "), strings.Join(t.DependsOn, " "),
	}, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(f.Q)) {
		if !strings.Contains(hay, word) {
			return false
		}
	}
	return true
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
	v.frame.Icon, v.frame.JSON = p.icon(v.Summary.State), apiTargets
	v.Blind = p.clock().blind(targets)
	v.Chips = chips(r.URL, v.Filter, targets)
	v.Tiers = tiers(targets)

	shown := slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return !v.Filter.match(t) })
	for _, t := range shown {
		if t.State == signal.Up {
			v.NWorking++
		}
	}
	v.NBroken = len(shown) - v.NWorking
	v.Pager, shown = paged(r.URL, shown)
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

func (c clock) row(t Target, states map[string]signal.State) row {
	r := row{
		key:   t.Name,
		State: t.State, Name: line(t.Name, maxName), URL: targetURL(t.Name), Tier: line(t.Tier, maxName),
		Probe: line(t.Probe, maxName), Since: c.moment(t.Since), Reason: line(t.Reason, maxName),
		Cause: line(t.Cause, maxCause), Failed: c.moment(t.Failed), Blind: t.Blind, Seen: c.moment(t.Seen),
		Depends: neighbours(t.DependsOn, states), Provides: provides(t.Provides),
	}
	if t.State == signal.Up {
		r.Cause = line(t.Cause, maxPast)
	}
	r.Address, r.Href = webAddress(t.Address)
	if len(r.Depends) > maxNames {
		r.More, r.Depends = len(r.Depends)-maxNames, r.Depends[:maxNames]
	}
	return r
}

func neighbours(names []string, states map[string]signal.State) []neighbour {
	var out []neighbour
	for _, name := range names {
		n := neighbour{Name: line(name, maxName), State: states[name]}
		if n.State != "" {
			n.URL = targetURL(name)
		}
		out = append(out, n)
	}
	return out
}

// provides links each thing to everything that names it.
func provides(things []string) []piece {
	var out []piece
	for _, thing := range things[:min(len(things), maxNames)] {
		text := line(thing, maxName)
		out = append(out, piece{Text: text, Href: query("/", url.Values{"q": {text}})})
	}
	return out
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

// blind groups the targets that nobody looks at by who should.
func (c clock) blind(targets []Target) []blindness {
	type group struct {
		n    int
		last Target
	}
	groups := map[string]*group{}
	var order []string
	for _, t := range targets {
		if !t.Blind {
			continue
		}
		if groups[t.Source] == nil {
			groups[t.Source] = &group{}
			order = append(order, t.Source)
		}
		g := groups[t.Source]
		if g.n++; t.Seen.After(g.last.Seen) || g.n == 1 {
			g.last = t
		}
	}
	slices.Sort(order)
	var out []blindness
	for _, source := range order[:min(len(order), maxNames)] {
		g := groups[source]
		out = append(out, blindness{line(source, maxName), c.moment(g.last.Seen), plural(g.n, "target")})
	}
	return out
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

// pager leads through a list by number (targets) or by cursor (the rest).
type pager struct {
	Text  string // "1 to 100 of 5,000"
	First string // addresses; "" if there is no such page
	Prev  string
	Next  string
}

func paged(u *url.URL, targets []Target) (pager, []Target) {
	pages := max(1, (len(targets)+pageSize-1)/pageSize)
	n, err := strconv.Atoi(u.Query().Get("page"))
	if err != nil {
		n = 1
	}
	n = min(max(n, 1), pages)
	from, to := (n-1)*pageSize, min(n*pageSize, len(targets))
	if pages == 1 {
		return pager{}, targets
	}
	p := pager{Text: count(from+1) + " to " + count(to) + " of " + plural(len(targets), "target")}
	if n > 2 {
		p.First = with(u, "page", "")
	}
	if n > 1 {
		p.Prev = with(u, "page", strconv.Itoa(n-1))
	}
	if n < pages {
		p.Next = with(u, "page", strconv.Itoa(n+1))
	}
	return p, targets[from:to]
}
