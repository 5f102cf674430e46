package client

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/terminal"
	"github.com/colliehq/collie/ledger/record"
)

// DefaultSince is how far Downtimes looks back where nothing is said.
const DefaultSince = "30d"

// DowntimesOptions of Downtimes. Times are as the API takes them: RFC 3339, a
// date, Unix seconds, or how long ago (30d).
type DowntimesOptions struct {
	Target string // empty: all
	Since  string // empty: DefaultSince
	Until  string // empty: now
	Output string // table (the default), json or csv
	By     string // "month": sums for each calendar month instead of single downtimes
	Zone   string // whose months, as Europe/Prague; empty: UTC
}

// Downtimes writes the downtimes in the window, the newest first, or with By
// the sums and the availability of each target and month.
func (c *Client) Downtimes(ctx context.Context, w io.Writer, o DowntimesOptions) error {
	how, err := output(o.Output, Table, JSON, CSV)
	if err != nil {
		return err
	}
	if err := cmp.Or(withUnit("since", o.Since), withUnit("until", o.Until)); err != nil {
		return err
	}
	if o.Since == "" {
		o.Since = DefaultSince
	}
	if o.By != "" {
		return c.months(ctx, w, o, how)
	}
	if o.Zone != "" {
		return fmt.Errorf("--tz %s goes with --by month", o.Zone)
	}
	found, err := all[record.Downtime](ctx, c, "downtimes", "target", o.Target, "since", o.Since, "until", o.Until)
	if err != nil {
		return err
	}
	switch how {
	case JSON:
		return writeJSON(w, found)
	case CSV:
		return downtimesCSV(w, found)
	}
	return c.downtimesTable(w, o, found)
}

func (c *Client) downtimesTable(w io.Writer, o DowntimesOptions, found []record.Downtime) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "no downtimes"+window(o))
		return err
	}
	var t terminal.Table
	var sum, part time.Duration
	t.Head("TARGET", "FROM", "TO", "LASTED", "REASON", "CAUSE")
	for _, d := range found {
		row := t.Row(d.Target, c.clock(d.From), c.ended(d), lasted(d), d.Reason, terminal.Short(d.Cause, 80))
		if d.End == record.StillDown {
			row[2].Color = terminal.Red
		}
		sum, part = sum+seconds(d.Seconds), part+seconds(d.Window)
	}
	if err := t.Write(w, c.Color); err != nil {
		return err
	}
	line := terminal.Plural(len(found), "downtime") + window(o) + ", " + terminal.Human(sum) + " in all"
	if part != sum {
		line += ", " + terminal.Human(part) + " of it in that time"
	}
	_, err := fmt.Fprintf(w, "\n%s\n", line)
	return err
}

func window(o DowntimesOptions) string {
	text := " since " + ago(o.Since)
	if o.Until != "" {
		text += " until " + ago(o.Until)
	}
	return terminal.Clean(text)
}

// ago reads well for "30d"; a time stays what it is.
func ago(t string) string {
	if strings.Trim(t, "0123456789ywdhms") == "" && strings.Trim(t, "0123456789.") != "" {
		return t + " ago"
	}
	return t
}

func (c *Client) ended(d record.Downtime) string {
	switch {
	case d.To == nil:
		return "still down"
	case d.End == record.Blind:
		return c.clock(*d.To) + ", then blind"
	}
	return c.clock(*d.To)
}

func lasted(d record.Downtime) string {
	text := terminal.Human(seconds(d.Seconds))
	if d.Unknown > 0 {
		text += " and " + terminal.Human(seconds(d.Unknown)) + " blind"
	}
	return text
}

func downtimesCSV(w io.Writer, found []record.Downtime) error {
	rows := [][]string{{"target", "from", "to", "end", "seconds", "window_seconds", "unknown_seconds", "reason", "cause", "rule"}}
	for _, d := range found {
		to := ""
		if d.To != nil {
			to = d.To.UTC().Format(time.RFC3339Nano)
		}
		rows = append(rows, []string{
			d.Target, d.From.UTC().Format(time.RFC3339Nano), to, d.End,
			number(d.Seconds), number(d.Window), number(d.Unknown), d.Reason, d.Cause, d.Rule,
		})
	}
	return writeCSV(w, rows)
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func writeCSV(w io.Writer, rows [][]string) error {
	out := csv.NewWriter(w)
	for _, row := range rows {
		for i := range row {
			row[i] = harmless(row[i])
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// harmless keeps a spreadsheet from taking a text for a formula: the texts come
// from the servers that are watched (OWASP, CSV injection).
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (c *Client) months(ctx context.Context, w io.Writer, o DowntimesOptions, how string) error {
	e, err := get[[]record.Availability](ctx, c, "availability", "target", o.Target, "since", o.Since, "until", o.Until, "by", o.By, "tz", o.Zone)
	if err != nil {
		return err
	}
	switch how {
	case JSON:
		return writeJSON(w, e.Data)
	case CSV:
		return monthsCSV(w, e.Data)
	}
	var t terminal.Table
	t.Head("TARGET", "MONTH", "AVAILABILITY", "DOWN", "UP", "UNKNOWN", "OTHER")
	for _, a := range e.Data {
		t.Row(a.Target, a.Month, percent(a.Ratio), terminal.Human(seconds(a.Down)), terminal.Human(seconds(a.Up+a.Degraded)), terminal.Human(seconds(a.Unknown)),
			terminal.Human(seconds(a.Unreachable+a.Maintenance+a.Undecided)))
	}
	return t.Write(w, c.Color)
}

// percent never rounds a downtime away: what is not all is not 100%.
func percent(ratio *float64) string {
	switch {
	case ratio == nil:
		return "-"
	case *ratio == 1:
		return "100%"
	case *ratio > 0.999995:
		return "99.999%"
	}
	return strconv.FormatFloat(*ratio*100, 'f', 3, 64) + "%"
}

func monthsCSV(w io.Writer, found []record.Availability) error {
	rows := [][]string{{"target", "month", "from", "to", "availability", "up_seconds", "degraded_seconds", "down_seconds", "unknown_seconds", "unreachable_seconds", "maintenance_seconds", "undecided_seconds"}}
	for _, a := range found {
		ratio := ""
		if a.Ratio != nil {
			ratio = number(*a.Ratio)
		}
		rows = append(rows, []string{
			a.Target, a.Month, a.From.UTC().Format(time.RFC3339Nano), a.To.UTC().Format(time.RFC3339Nano), ratio,
			number(a.Up), number(a.Degraded), number(a.Down), number(a.Unknown), number(a.Unreachable), number(a.Maintenance), number(a.Undecided),
		})
	}
	return writeCSV(w, rows)
}
