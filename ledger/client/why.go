package client

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/colliehq/collie/internal/terminal"
	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// WhyOptions of Why.
type WhyOptions struct {
	Subject string // "target/gitlab", "job/gitlab.example.org/1234"; a bare word is a target's name
	Since   string // tell from then on; empty: the newest trouble
	Output  string // text (the default) or json
}

// Why writes the story of a subject: what was seen, decided and delivered.
func (c *Client) Why(ctx context.Context, w io.Writer, o WhyOptions) error {
	how, err := output(o.Output, Text, JSON)
	if err != nil {
		return err
	}
	if err := withUnit("since", o.Since); err != nil {
		return err
	}
	if !strings.Contains(o.Subject, "/") {
		o.Subject = signal.TargetSubject(o.Subject)
	}
	e, err := get[record.Story](ctx, c, "why", "subject", o.Subject, "since", o.Since)
	if err != nil {
		return err
	}
	if how == JSON {
		return writeJSON(w, e.Data)
	}
	_, err = io.WriteString(w, c.story(e.Data))
	return err
}

func (c *Client) story(s record.Story) string {
	var out strings.Builder
	out.WriteString(c.headline(s))
	if s.Target != nil {
		out.WriteString(about(*s.Target))
	}
	out.WriteString("\n")
	if s.Earlier {
		out.WriteString(c.paint("what was before: --since 7d", terminal.Dim) + "\n")
	}
	for _, step := range s.Steps {
		fmt.Fprintf(&out, "%s  %-9s  %s\n", c.clock(step.At), step.What, terminal.Clean(step.Text))
		for line := range strings.Lines(strings.TrimSpace(step.Detail)) {
			if line = strings.TrimSpace(line); line != "" {
				out.WriteString(strings.Repeat(" ", len("2006-01-02 15:04:05  delivered  ")) + c.paint(terminal.Clean(line), terminal.Dim) + "\n")
			}
		}
	}
	if len(s.Steps) == 0 {
		out.WriteString("the journal tells nothing about it in that time\n")
	}
	return out.String()
}

func (c *Client) headline(s record.Story) string {
	if s.Target == nil || s.Since == nil {
		return terminal.Clean(s.Subject) + "\n"
	}
	t := *s.Target
	line := fmt.Sprintf("%s is %s since %s, for %s\n", terminal.Clean(s.Subject), c.paint(terminal.Clean(string(t.State)), colorOf(t.State)), c.clock(*s.Since), terminal.Human(max(c.now().Sub(*s.Since), 0)))
	if t.Blind {
		line += terminal.Clean(c.why(t)) + ": nobody knows how it is now\n"
	}
	if t.Removed {
		line += "it is not in the configuration any more\n"
	}
	return line
}

// about is one line of what the target is.
func about(t record.Target) string {
	var parts []string
	add := func(before, v string) {
		if v != "" {
			parts = append(parts, before+terminal.Clean(v))
		}
	}
	add("", t.Address)
	add("", t.Probe)
	add("every ", t.Every)
	add("", t.Tier)
	add("depends on ", strings.Join(t.DependsOn, ", "))
	add("looked at by ", t.Source)
	return strings.Join(parts, " · ") + "\n"
}
