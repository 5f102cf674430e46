package page

import (
	"net/url"
	"strings"

	"github.com/colliehq/collie/signal"
)

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
