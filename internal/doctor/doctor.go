// Package doctor finds on a machine what would bite later: a disk that is slow
// or says it synced and did not, a directory that others can read, a clock that
// nobody sets, a broker whose queues are not as they were declared. It changes
// nothing, and leaves nothing behind.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/colliehq/collie/internal/terminal"
)

// Level of a finding.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // works, until it does not
	Bad  Level = "bad"  // Collie loses something, or does not run
)

// Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Found string `json:"found"`        // what is so
	Do    string `json:"do,omitempty"` // what to do about it
	// Values are what was measured, in base units.
	Values map[string]float64 `json:"values,omitempty"`
}

// Check looks at one thing and tells what it found.
type Check struct {
	Name string
	Look func(context.Context) []Finding
}

// Run makes the checks one after the other. progress, which may be nil, is told
// the name of each before it begins.
func Run(ctx context.Context, checks []Check, progress func(name string)) []Finding {
	var all []Finding
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		if progress != nil {
			progress(c.Name)
		}
		for _, f := range c.Look(ctx) {
			f.Check = c.Name
			all = append(all, f)
		}
	}
	return all
}

// Healthy reports that nothing is bad.
func Healthy(all []Finding) bool {
	for _, f := range all {
		if f.Level == Bad {
			return false
		}
	}
	return true
}

// WriteJSON writes the findings for programs.
func WriteJSON(w io.Writer, all []Finding) error {
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}

// WriteText writes the findings for people.
func WriteText(w io.Writer, all []Finding, colors bool) error {
	var t terminal.Table
	counts := map[Level]int{}
	for _, f := range all {
		counts[f.Level]++
		row := t.Row(string(f.Level), f.Check, f.Found)
		row[0].Color = map[Level]terminal.Color{OK: terminal.Green, Warn: terminal.Yellow, Bad: terminal.Red}[f.Level]
		if f.Do != "" {
			t.Row("", "", "→ "+f.Do)
		}
	}
	if err := t.Write(w, colors); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s: %d ok, %d warn, %d bad\n", terminal.Plural(len(all), "finding"), counts[OK], counts[Warn], counts[Bad])
	return err
}

func ok(format string, args ...any) Finding {
	return Finding{Level: OK, Found: fmt.Sprintf(format, args...)}
}

func warn(do, format string, args ...any) Finding {
	return Finding{Level: Warn, Found: fmt.Sprintf(format, args...), Do: do}
}

func bad(do, format string, args ...any) Finding {
	return Finding{Level: Bad, Found: fmt.Sprintf(format, args...), Do: do}
}

// Broker compares the queues that were declared with those of the broker: each
// difference is a sentence that says what to do.
type Broker func(ctx context.Context) (differences []string, err error)

// brokerTimeout bounds what the doctor waits for a broker.
const brokerTimeout = 20 * time.Second

// Topology is the check of a broker.
func Topology(b Broker) Check {
	return Check{"broker", func(ctx context.Context) []Finding {
		ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
		defer cancel()
		differences, err := b(ctx)
		if err != nil {
			return []Finding{bad("see that the broker runs, and that the user and the addresses under queue: are right", "the broker cannot be asked: %v", err)}
		}
		if len(differences) == 0 {
			return []Finding{ok("the queues of the broker are as declared")}
		}
		var all []Finding
		for _, d := range differences {
			all = append(all, bad("a queue that differs is not changed in place: drain it, delete it, and restart Collie, which declares it anew", "%s", d))
		}
		return all
	}}
}

// Configuration is the check of what `collie check` tells.
func Configuration(load func() (file string, mistakes error)) Check {
	return Check{"configuration", func(context.Context) []Finding {
		file, err := load()
		switch {
		case err != nil:
			return []Finding{bad("collie check tells each mistake with its line", "it is not accepted: %v", err)}
		case file == "":
			return []Finding{ok("none: the built-in defaults")}
		}
		return []Finding{ok("%s is accepted, and its secret files are readable by their owner only", file)}
	}}
}
