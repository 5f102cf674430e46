package client

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/colliehq/collie/internal/terminal"
	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// StatusOptions of Status.
type StatusOptions struct {
	Output string // table (the default) or json
}

// Summary is what a script may want to know of a status.
type Summary struct {
	Targets       int
	States        map[signal.State]int
	EssentialDown []string // names of essential targets that are down
}

// Status writes all targets, the worst first. The summary lets `--check` turn
// an essential target that is down into an exit code.
func (c *Client) Status(ctx context.Context, w io.Writer, o StatusOptions) (Summary, error) {
	sum := Summary{States: map[signal.State]int{}}
	how, err := output(o.Output, Table, JSON)
	if err != nil {
		return sum, err
	}
	e, err := get[[]record.Target](ctx, c, "targets")
	if err != nil {
		return sum, err
	}
	targets := e.Data
	for _, t := range targets {
		sum.Targets++
		sum.States[t.State]++
		if t.State == signal.Down && t.Tier == "essential" {
			sum.EssentialDown = append(sum.EssentialDown, t.Name)
		}
	}
	if how == JSON {
		return sum, writeJSON(w, targets)
	}
	return sum, c.statusTable(w, targets, sum)
}

// worst orders states for people who look for trouble.
func worst() []signal.State {
	return []signal.State{signal.Down, signal.Unreachable, signal.Suspect, signal.Degraded, signal.Unknown, signal.Maintenance, signal.Up}
}

func (c *Client) statusTable(w io.Writer, targets []record.Target, sum Summary) error {
	if len(targets) == 0 {
		_, err := fmt.Fprintln(w, "no targets are on record; name some under targets: in collie.yml, or wait for their first result")
		return err
	}
	order := worst()
	slices.SortStableFunc(targets, func(a, b record.Target) int {
		return cmp.Or(slices.Index(order, a.State)-slices.Index(order, b.State), cmp.Compare(a.Name, b.Name))
	})
	var t terminal.Table
	t.Head("TARGET", "STATE", "SINCE", "FOR", "TIER", "WHY")
	for _, target := range targets {
		row := t.Row(target.Name, string(target.State), c.clock(target.Since), terminal.Human(max(c.now().Sub(target.Since), 0)), target.Tier, terminal.Short(c.why(target), 80))
		row[1].Color = colorOf(target.State)
	}
	if err := t.Write(w, c.Color); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", count(sum))
	return err
}

func (c *Client) why(t record.Target) string {
	switch {
	case t.Blind && t.LastSeen != nil:
		return t.Source + " last looked " + terminal.Human(c.now().Sub(*t.LastSeen)) + " ago"
	case t.Blind:
		return t.Source + " does not look"
	case t.Cause != "":
		return t.Cause
	case t.State == signal.Up:
		return ""
	case t.Reason != "":
		return t.Reason
	}
	return t.Rule
}

// count says "5 targets: 1 down, 4 up".
func count(sum Summary) string {
	var parts []string
	for _, s := range worst() {
		if n := sum.States[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return terminal.Plural(sum.Targets, "target") + ": " + strings.Join(parts, ", ")
}
