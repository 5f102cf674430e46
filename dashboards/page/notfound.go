package page

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// note is the data of a page that says one thing.
type note struct {
	frame
	Title  string
	Text   string
	Detail string
	Hint   string
	Links  []piece
}

func (p *Page) serveNotFound(_ http.ResponseWriter, r *http.Request) *view {
	n := note{
		Title: "There is no page here",
		Text:  "Collie has nothing at " + line(r.URL.Path, maxAddress) + ". These are its pages:",
		Links: []piece{
			{"Targets: what is up and what is down", "/"},
			{"Journal: every signal, newest first", "/journal"},
			{"API: the same as JSON", apiTargets},
			{"Metrics of Collie itself", "/metrics"},
			{"Configuration in force", "/config"},
		},
	}
	if p.o.Barks != nil {
		n.Links = slices.Insert(n.Links, 1, piece{"Alerts: what fires, and whether IRC hears it", "/alerts"})
	}
	return p.message(r, http.StatusNotFound, n)
}

// noTarget answers for a target that the record never heard of.
func (p *Page) noTarget(r *http.Request, name string) *view {
	n := note{
		Title: "There is no target called " + line(name, maxName),
		Text:  "No target of this name is configured, and the record has never heard of one.",
		Hint:  "A target is added under targets: in collie.yml; “collie check” says whether the file is right.",
		Links: []piece{{"All targets", "/"}},
	}
	// Without the list there are no suggestions, and the answer is still true.
	if targets, err := p.o.Source.Targets(r.Context()); err == nil {
		if links := similar(name, targets); len(links) > 0 {
			n.Text, n.Links = "No target of this name is configured, and the record has never heard of one. Did you mean:", links
		}
	}
	return p.message(r, http.StatusNotFound, n)
}

// similar are the targets whose names are near the wrong one, nearest first.
func similar(name string, targets []Target) []piece {
	type candidate struct {
		name     string
		distance int
	}
	name = strings.ToLower(line(name, maxName))
	var near []candidate
	for _, t := range targets {
		other := strings.ToLower(line(t.Name, maxName))
		d := distance(name, other)
		if strings.Contains(other, name) || strings.Contains(name, other) {
			d = min(d, 1)
		}
		if d <= 1+len(name)/4 {
			near = append(near, candidate{t.Name, d})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []piece
	for _, c := range near[:min(len(near), named)] {
		out = append(out, piece{line(c.name, maxName), targetURL(c.name)})
	}
	return out
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
