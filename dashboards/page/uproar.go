package page

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/colliehq/collie/signal"
)

// uproar is how much fires.
type uproar struct {
	by    map[string]int // severity → alerts that are told
	told  int
	muted int
}

func sumUp(firing []Alert) uproar {
	u := uproar{by: map[string]int{}}
	for _, a := range firing {
		if a.silent() {
			u.muted++
			continue
		}
		class, _ := severityOf(a)
		u.by[class]++
		u.told++
	}
	return u
}

// sentence says it: "4 alerts fire: 2 critical, 1 warning, 1 other. 1 more is muted."
// An err is why nobody can say.
func (u uproar) sentence(err error) string {
	switch {
	case err != nil:
		return "Nobody can say now what fires."
	case u.told+u.muted == 0:
		return "No alert fires."
	case u.told == 0:
		return alertCount(u.muted) + agree(u.muted, " fires, and is muted.", " fire, all of them muted.")
	}
	text := u.fires() + "."
	if u.muted > 0 {
		text += " " + count(u.muted) + agree(u.muted, " more is muted.", " more are muted.")
	}
	return text
}

// fires says how many of which severity: "2 critical alerts fire".
func (u uproar) fires() string {
	var parts []string
	for _, s := range severities() {
		switch n := u.by[s]; {
		case n == u.told && s != "other":
			return count(n) + " " + s + agree(n, " alert fires", " alerts fire")
		case n > 0:
			parts = append(parts, count(n)+" "+s)
		}
	}
	all := alertCount(u.told) + agree(u.told, " fires", " fire")
	if len(parts) == 1 {
		return all
	}
	return all + ": " + strings.Join(parts, ", ")
}

func (u uproar) title(err error) string {
	switch {
	case err != nil:
		return "Alerts not known"
	case u.told == 0:
		return "No alerts"
	}
	return alertCount(u.told)
}

// tint is the state whose colours the sentence wears.
func (u uproar) tint(err error) signal.State {
	switch {
	case err != nil:
		return signal.Unknown
	case u.by["critical"] > 0:
		return signal.Down
	case u.told > u.by["info"]:
		return signal.Suspect
	default:
		return signal.Up
	}
}

// barks is the line on the first page, nil if there is nothing to tell. It must
// not hold up what it stands beside.
func (p *Page) barks(r *http.Request) []piece {
	if p.o.Barks == nil {
		return nil
	}
	firing, err := p.firing(r.Context(), p.o.Timeout/10)
	if err != nil {
		p.o.Log.Error("the alerts cannot be read", "path", r.URL.Path, "err", err)
	}
	var out []piece
	if u := sumUp(firing); err != nil || u.told+u.muted > 0 {
		out = append(out, piece{Text: u.sentence(err), Href: "/alerts"})
	}
	if text := p.clock().unheard(p.o.Barks.Networks()); text != "" {
		if out != nil {
			out = append(out, piece{Text: " "})
		}
		out = append(out, piece{Text: text, Href: "/alerts#irc"})
	}
	return out
}

// unheard says which networks cannot hear us.
func (c clock) unheard(networks []IRCNetwork) string {
	var away []IRCNetwork
	var names []string
	for _, n := range networks {
		if n.Connected {
			continue
		}
		if away = append(away, n); len(away) <= namedLess {
			names = append(names, n.title())
		}
	}
	text := "IRC: " + strings.Join(names, ", ")
	switch {
	case len(away) == 0:
		return ""
	case len(away) > namedLess:
		return fmt.Sprintf("%s and %s more are not connected.", text, count(len(away)-namedLess))
	case len(away) > 1:
		return text + " are not connected."
	case away[0].Since.IsZero():
		return text + " is not connected yet."
	}
	return text + " has not been connected for " + c.moment(away[0].Since).For + "."
}

func alertCount(n int) string { return count(n) + agree(n, " alert", " alerts") }

func agree(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
