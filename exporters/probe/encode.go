package probe

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
)

// Exposition is the families of one or many probes, merged so that each family
// is written once, as the formats ask. The zero value is empty.
type Exposition struct {
	index  map[string]int
	groups []group
}

// group is one family with the samples of every probe that has it.
type group struct {
	Family // its Samples are unused
	parts  []part
}

type part struct {
	extra   []Label
	samples []Sample
}

// Add adds families, whose samples get the extra labels (name, value, name,
// value) in front of their own. A sample's own label of the same name is
// renamed to exported_NAME, as Prometheus does. The first help text and type
// of a family hold.
func (e *Exposition) Add(families []Family, extra ...string) {
	var labels []Label
	for i := 0; i+1 < len(extra); i += 2 {
		labels = append(labels, Label{extra[i], extra[i+1]})
	}
	if e.index == nil {
		e.index = make(map[string]int, len(families))
	}
	for _, f := range families {
		at, ok := e.index[f.Name]
		if !ok {
			at = len(e.groups)
			e.index[f.Name] = at
			e.groups = append(e.groups, group{Family: f})
		}
		e.groups[at].parts = append(e.groups[at].parts, part{labels, f.Samples})
	}
}

// Append writes e to b in the format, which is one that Negotiate gives.
// Families are ordered by name, samples as they were added.
func (e *Exposition) Append(b []byte, format expfmt.Format) []byte {
	order := make([]*group, len(e.groups))
	for i := range e.groups {
		order[i] = &e.groups[i]
	}
	slices.SortFunc(order, func(x, y *group) int { return strings.Compare(x.Name, y.Name) })
	open := format.FormatType() == expfmt.TypeOpenMetrics
	for _, g := range order {
		b = g.append(b, open)
	}
	if open {
		b = append(b, "# EOF\n"...)
	}
	return b
}

// Negotiate chooses the format for an answer from the Accept header: OpenMetrics
// if the scraper prefers it, else the Prometheus text format.
func Negotiate(h http.Header) expfmt.Format {
	return expfmt.NegotiateAccept(h, expfmt.NewFormat(expfmt.TypeTextPlain), expfmt.NewFormat(expfmt.TypeOpenMetrics))
}

// AppendText writes the families of one probe in the Prometheus text format.
func AppendText(b []byte, families []Family) []byte {
	var e Exposition
	e.Add(families)
	return e.Append(b, expfmt.NewFormat(expfmt.TypeTextPlain))
}

func (g *group) append(b []byte, open bool) []byte {
	name, suffix := g.Name, ""
	if open && g.Type == Counter { // OpenMetrics names the family without the suffix, and wants it on the sample
		name, suffix = strings.TrimSuffix(g.Name, "_total"), "_total"
	}
	b = append(append(b, "# HELP "...), name...)
	b = appendEscaped(append(b, ' '), g.Help, open)
	b = append(append(b, "\n# TYPE "...), name...)
	b = append(append(b, ' '), g.Type.text(open)...)
	b = append(b, '\n')
	for _, p := range g.parts {
		for i := range p.samples {
			b = append(append(b, name...), suffix...)
			b = appendLabels(b, p.extra, p.samples[i].Labels)
			b = appendFloat(append(b, ' '), p.samples[i].Value, open)
			b = append(b, '\n')
		}
	}
	return b
}

func (t Type) text(open bool) string {
	switch {
	case t == Gauge:
		return "gauge"
	case t == Counter:
		return "counter"
	case open:
		return "unknown"
	default:
		return "untyped"
	}
}

func appendLabels(b []byte, extra, own []Label) []byte {
	if len(extra)+len(own) == 0 {
		return b
	}
	b = append(b, '{')
	for _, l := range extra {
		b = appendLabel(b, "", l)
	}
	for _, l := range own {
		prefix := ""
		if slices.ContainsFunc(extra, func(x Label) bool { return x.Name == l.Name }) {
			prefix = "exported_"
		}
		b = appendLabel(b, prefix, l)
	}
	b[len(b)-1] = '}' // the last comma
	return b
}

func appendLabel(b []byte, prefix string, l Label) []byte {
	b = append(append(b, prefix...), l.Name...)
	b = appendEscaped(append(b, `="`...), l.Value, true)
	return append(b, `",`...)
}

// appendEscaped escapes as both formats do: backslash and line feed always,
// the double quote where a value stands in quotes.
func appendEscaped(b []byte, s string, quotes bool) []byte {
	s = strings.ToValidUTF8(s, "�")
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b = append(b, `\\`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '"' && quotes:
			b = append(b, `\"`...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendFloat writes v as both formats do; OpenMetrics wants whole numbers to
// look like floats.
func appendFloat(b []byte, v float64, open bool) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	}
	if v == 0 {
		v = 0 // not -0, as the library
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	if open && !slices.ContainsFunc(b[start:], func(c byte) bool { return c == '.' || c == 'e' }) {
		b = append(b, ".0"...)
	}
	return b
}
