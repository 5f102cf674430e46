package client

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/admin"
	"github.com/colliehq/collie/internal/terminal"
)

// PeekOptions of Peek.
type PeekOptions struct {
	State  string // empty: all
	Limit  int    // 0 means 20
	Body   bool   // show bodies too
	Output string
}

// Peek writes messages of a subscription, oldest first, without taking them.
func (c *Client) Peek(ctx context.Context, w io.Writer, subscription string, o PeekOptions) error {
	if o.Limit == 0 {
		o.Limit = 20
	}
	body := ""
	if o.Body {
		body = "true"
	}
	where, err := c.address([]string{subscription}, "state", o.State, "limit", strconv.Itoa(o.Limit), "body", body)
	if err != nil {
		return err
	}
	e, err := ask[[]admin.Message](ctx, c, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	if o.Output == JSON {
		return writeJSON(w, e.Data)
	}
	if len(e.Data) == 0 {
		_, err := fmt.Fprintln(w, "no "+strings.TrimSpace(o.State+" messages")+" in "+subscription)
		return err
	}
	for _, m := range e.Data {
		if err := c.message(w, m, o.Body); err != nil {
			return err
		}
	}
	if len(e.Data) == o.Limit {
		_, err = fmt.Fprintf(w, "the first %d; --limit shows more, collie queue export %s all\n", o.Limit, subscription)
	}
	return err
}

// message is one message, with a line for each thing there is to know.
func (c *Client) message(w io.Writer, m admin.Message, body bool) error {
	var t terminal.Table
	row := func(name, value string) []terminal.Cell {
		r := t.Row("  "+name, value)
		r[0].Color = terminal.Dim
		return r
	}
	row("state", string(m.State))[1].Color = colorOf(m.State)
	row("attempt", strconv.Itoa(m.Attempt))
	row("first seen", c.clock(m.FirstSeen)+", "+terminal.Human(max(c.now().Sub(m.FirstSeen), 0))+" ago")
	if m.Due != nil {
		row("due", c.clock(*m.Due)+", in "+terminal.Human(max(m.Due.Sub(c.now()), 0)))
	}
	if m.Cause != "" {
		row("cause", terminal.Short(m.Cause, 400))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		row(name, terminal.Short(m.Headers[name], 200))
	}
	row("size", terminal.Bytes(int64(m.Size)))
	if _, err := fmt.Fprintln(w, terminal.Clean(cmp.Or(m.Key, "(no key)"))); err != nil {
		return err
	}
	if err := t.Write(w, c.Color); err != nil || !body {
		return err
	}
	_, err := fmt.Fprintln(w, bodyText(m))
	return err
}

func colorOf(s queue.State) terminal.Color {
	switch s {
	case queue.Parked:
		return terminal.Red
	case queue.Spilled, queue.Delayed:
		return terminal.Yellow
	case queue.Ready, queue.Leased:
	}
	return terminal.Plain
}

// bodyText keeps the lines of a text. Bytes that are no text are told, not
// shown: an export has them.
func bodyText(m admin.Message) string {
	if m.Body == nil || !utf8.ValidString(*m.Body) {
		return "  (" + terminal.Bytes(int64(m.Size)) + " that are no text; collie queue export has them)"
	}
	var out strings.Builder
	for line := range strings.Lines(*m.Body) {
		out.WriteString("  " + terminal.Clean(strings.TrimRight(line, "\r\n")) + "\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}
