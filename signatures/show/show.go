// Package show writes what is known of signatures for people and for programs.
package show

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/colliehq/collie/internal/terminal"
	"github.com/colliehq/collie/signatures"
)

// Formats of an answer.
const (
	Text = "text"
	JSON = "json"
)

// Out is where and how to write.
type Out struct {
	W      io.Writer
	Format string // Text or JSON
	Color  bool
}

func (o Out) json(v any) error {
	enc := json.NewEncoder(o.W)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Verdict writes what a log tells.
func (o Out) Verdict(name string, v signatures.Verdict) error {
	if o.Format == JSON {
		return o.json(struct {
			File string `json:"file"`
			signatures.Verdict
		}{name, v})
	}
	var b strings.Builder
	if v.Best == nil {
		fmt.Fprintf(&b, "%s: %s\n", name, o.paint("nothing recognised", terminal.Yellow))
	} else {
		fmt.Fprintf(&b, "%s: %s by %s: %s, %.0f %% sure\n", name, o.paint(v.Best.Cause, terminal.Red), v.Best.Signature, wanted(*v.Best), 100*v.Best.Confidence)
	}
	for i, f := range v.Findings {
		o.finding(&b, f, i == 0)
	}
	for _, f := range v.Vetoed {
		fmt.Fprintf(&b, "  %s %s (%s): %s\n", o.paint("ruled out", terminal.Dim), f.Signature, f.Cause, f.Why)
	}
	fmt.Fprintf(&b, "%s in %s\n", terminal.Bytes(v.Bytes), terminal.Plural(v.Lines, "line"))
	_, err := io.WriteString(o.W, b.String())
	return err
}

// wanted is what is to be done, and how far the signature is trusted.
func wanted(f signatures.Finding) string {
	text := map[signatures.Action]string{
		signatures.Retry: "retry", signatures.Report: "report", signatures.Alert: "alert", signatures.Leave: "do not retry",
	}[f.Action]
	if f.Mode != signatures.Active {
		text += " (" + string(f.Mode) + " only)"
	}
	return text
}

func (o Out) finding(b *strings.Builder, f signatures.Finding, best bool) {
	if !best {
		fmt.Fprintf(b, "  also %s (%s): %s, %.0f %% sure\n", f.Signature, f.Cause, wanted(f), 100*f.Confidence)
	}
	for _, m := range f.Matches {
		where := fmt.Sprintf("%d", m.LastLine)
		if m.Section != "" {
			where += " " + m.Section
		}
		fmt.Fprintf(b, "  %s  %s\n", o.paint(where, terminal.Dim), terminal.Short(terminal.Clean(m.Excerpt), 160))
	}
	if more := f.Count - len(f.Matches); more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
	fmt.Fprintf(b, "  because %s\n", f.Why)
	if f.Owner != "" {
		fmt.Fprintf(b, "  owner %s\n", f.Owner)
	}
	if f.Link != "" {
		fmt.Fprintf(b, "  see %s\n", f.Link)
	}
	switch {
	case len(f.Hosts) > 0:
		fmt.Fprintf(b, "  it accuses %s\n", strings.Join(f.Hosts, ", "))
	case f.Provides != "":
		fmt.Fprintf(b, "  it accuses what provides %s\n", f.Provides)
	}
}

func (o Out) paint(text string, c terminal.Color) string { return terminal.Paint(o.Color, text, c) }

// Remarks writes what lint says; it reports whether none is an error.
func (o Out) Remarks(list []signatures.Remark, count int) (ok bool, err error) {
	wrong := 0
	for _, r := range list {
		if r.Level == signatures.Wrong {
			wrong++
		}
	}
	if o.Format == JSON {
		if list == nil {
			list = []signatures.Remark{}
		}
		return wrong == 0, o.json(list)
	}
	var b strings.Builder
	for _, r := range list {
		text := r.String()
		if r.Level == signatures.Wrong {
			text = o.paint(text, terminal.Red)
		}
		b.WriteString(text + "\n")
	}
	fmt.Fprintf(&b, "%s: %s, %s\n", terminal.Plural(count, "signature"), terminal.Plural(wrong, "error"), terminal.Plural(len(list)-wrong, "warning"))
	_, err = io.WriteString(o.W, b.String())
	return wrong == 0, err
}

// Proof writes the table of families against samples; it reports whether every
// sample is taken as it should be.
func (o Out) Proof(p signatures.Proof) (ok bool, err error) {
	ok = len(p.Wrong) == 0
	if o.Format == JSON {
		wrong := []string{}
		for _, m := range p.Wrong {
			wrong = append(wrong, m.String())
		}
		return ok, o.json(map[string]any{"families": p.Families, "wrong": wrong})
	}
	var t terminal.Table
	t.Head("FAMILY", "SIGNATURES", "SAMPLES", "RECOGNISED", "CLEAN", "RECOGNISES TOO")
	for _, f := range p.Families {
		t.Row(f.Family, strconv.Itoa(f.Signatures), strconv.Itoa(f.Samples), strconv.Itoa(f.Recognised), strconv.Itoa(f.Clean), others(p, f))
	}
	if err := t.Write(o.W, o.Color); err != nil {
		return ok, err
	}
	for _, m := range p.Wrong {
		if _, err := fmt.Fprintln(o.W, o.paint(m.String(), terminal.Red)); err != nil {
			return ok, err
		}
	}
	return ok, nil
}

// others names the other families of which a family recognises samples.
func others(p signatures.Proof, f signatures.FamilyProof) string {
	var list []string
	for _, other := range p.Families {
		if n := f.Others[other.Family]; n > 0 {
			list = append(list, fmt.Sprintf("%d of %s", n, other.Family))
		}
	}
	return strings.Join(list, ", ")
}
