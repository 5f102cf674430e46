// Package words says what happened in the words that people read in a channel.
// What goes into it is cleaned here; nothing of outsiders passes as it came.
package words

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/ircbot/wire"
)

// Kind of a line.
type Kind string

// The kinds of line.
const (
	Firing    Kind = "firing"
	Repeat    Kind = "repeat" // still firing, said again
	Resolved  Kind = "resolved"
	Missed    Kind = "missed"    // fired and resolved before we could say so
	Dropped   Kind = "dropped"   // lines that the spool could not keep
	Heartbeat Kind = "heartbeat" // of the dead man's switch
)

// About is what one line says, of one alert or of many.
type About struct {
	Kind     Kind      `json:"kind"`
	Severity string    `json:"severity,omitempty"`
	Name     string    `json:"name,omitempty"`   // alertname
	Target   string    `json:"target,omitempty"` // empty if the alert has none
	Summary  string    `json:"summary,omitempty"`
	Link     string    `json:"link,omitempty"`
	More     string    `json:"more,omitempty"` // a link to the whole text, if it is too long
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`

	Count int    `json:"count,omitempty"` // of a fold; 0 means one alert
	Names []Some `json:"names,omitempty"` // of a fold
}

// Some are the alerts of one name in a fold.
type Some struct {
	Name    string   `json:"name"`
	Count   int      `json:"count"`
	Targets []string `json:"targets,omitempty"` // the first of them
}

// KeepTargets is how many targets of one name a fold remembers.
const KeepTargets = 200

// Alerts is how many alerts the line is about.
func (a About) Alerts() int { return max(1, a.Count) }

// Text is the line, of at most limit bytes where many alerts are one; text of
// one alert may be longer, to be split.
func (a About) Text(limit int) string {
	switch {
	case a.Kind == Heartbeat:
		return "heartbeat " + a.Started.UTC().Format("2006-01-02 15:04:05") + " UTC"
	case a.Kind == Dropped:
		return fmt.Sprintf("DROPPED %d lines that waited for IRC longer, or were more, than the spool may keep%s", a.Count, link(a.Link))
	case a.Count > 0:
		return a.fold(limit)
	}
	return a.single()
}

func (a About) single() string {
	s := a.head() + " " + subject(a.Target, a.Name)
	if summary := wire.Clean(a.Summary); summary != "" {
		s += ": " + summary
	}
	return s + a.times() + link(a.Link)
}

// head is what happened, and how bad it is: the word to look for.
func (a About) head() string {
	word := strings.ToUpper(string(a.Kind))
	if a.Kind == Repeat {
		word = "STILL FIRING"
	}
	if severity := wire.Word(a.Severity); severity != "" {
		word += " " + severity
	}
	return word
}

func subject(target, name string) string {
	target, name = wire.Clean(target), wire.Clean(name)
	switch {
	case target == "":
		return name
	case name == "":
		return target
	}
	return target + " " + name
}

func link(url string) string {
	if url = wire.Clean(url); url == "" {
		return ""
	}
	return " " + strings.ReplaceAll(url, " ", "%20")
}

// times tell how long it lasted, or since when it does.
func (a About) times() string {
	switch {
	case a.Started.IsZero():
		return ""
	case a.Kind == Repeat:
		return " (since " + clock(a.Started) + ")"
	case a.Kind == Resolved && a.Ended.After(a.Started):
		return " (after " + Span(a.Ended.Sub(a.Started)) + ")"
	case a.Kind == Missed && !a.Ended.IsZero():
		return " (" + a.Started.UTC().Format("15:04") + " to " + clock(a.Ended) + ")"
	}
	return ""
}

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC") }

// Span is a duration for people: 45s, 3m, 2h10m, 3d4h.
func Span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return trim(fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60), "h0m", "h")
	}
	return trim(fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24), "d0h", "d")
}

func trim(s, zero, unit string) string {
	if head, ok := strings.CutSuffix(s, zero); ok {
		return head + unit
	}
	return s
}

// fold says many alerts in one line: how many, of which names, where.
func (a About) fold(limit int) string {
	tail := link(a.Link)
	head := fmt.Sprintf("%s %d ", a.head(), a.Count)
	limit -= len(tail)
	if len(a.Names) == 1 {
		return few(head+wire.Clean(a.Names[0].Name)+":", a.Names[0].Targets, a.Count, limit) + tail
	}
	head = strings.TrimRight(head, " ") + " of " + fmt.Sprint(len(a.Names)) + " kinds:"
	for i, n := range a.Names {
		item := fmt.Sprintf(" %s %d", wire.Clean(n.Name), n.Count)
		if n.Count <= 3 && len(n.Targets) == n.Count {
			item += " (" + wire.Clean(strings.Join(n.Targets, ", ")) + ")"
		}
		rest := fmt.Sprintf(" and %d more kinds", len(a.Names)-i)
		if i > 0 && len(head)+len(item)+len(",")+len(rest) > limit {
			return head + rest + tail
		}
		if i > 0 {
			head += ","
		}
		head += item
	}
	return head + tail
}

// few lists targets until the line is full, and counts the rest.
func few(head string, targets []string, count, limit int) string {
	for i, t := range targets {
		item := " " + wire.Clean(t)
		rest := fmt.Sprintf(", and %d more", count-i)
		if i > 0 && len(head)+len(item)+len(",")+len(rest) > limit {
			return strings.TrimRight(head, ",") + rest
		}
		if i > 0 {
			head += ","
		}
		head += item
	}
	if left := count - len(targets); left > 0 {
		head += fmt.Sprintf(", and %d more", left)
	}
	return head
}

// Fold makes one line of many of the same kind and severity, in their order.
func Fold(all []About) About {
	out := About{Kind: all[0].Kind, Severity: all[0].Severity, Link: all[0].More}
	for _, a := range all {
		out.Count += a.Alerts()
		if !a.Started.IsZero() && (out.Started.IsZero() || a.Started.Before(out.Started)) {
			out.Started = a.Started
		}
		if a.Ended.After(out.Ended) {
			out.Ended = a.Ended
		}
		i := slices.IndexFunc(out.Names, func(s Some) bool { return s.Name == a.Name })
		if i < 0 {
			i = len(out.Names)
			out.Names = append(out.Names, Some{Name: a.Name})
		}
		some := &out.Names[i]
		some.Count++
		if target := orElse(a.Target, a.Summary); target != "" && len(some.Targets) < KeepTargets {
			some.Targets = append(some.Targets, target)
		}
	}
	if len(out.Names) == 1 {
		out.Name = out.Names[0].Name
	}
	return out
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// colours of IRC by severity; the word is coloured, never the text.
var colours = map[string]string{"critical": "04", "warning": "07", "info": "12"}

// Coloured puts the first words of a line into the colour of the severity;
// resolved lines are green.
func (a About) Coloured(text string) string {
	code, known := colours[a.Severity]
	if a.Kind == Resolved {
		code, known = "03", true
	}
	head := a.head()
	rest, begins := strings.CutPrefix(text, head)
	if !known || !begins {
		return text
	}
	return "\x03" + code + head + "\x0f" + rest
}

// ColourCost is how many bytes Coloured adds at most.
const ColourCost = len("\x0304\x0f")
