package config

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/colliehq/collie/exporters/probe"
)

// report is what `collie check --output json` writes.
type report struct {
	File     string   `json:"file"` // empty: built-in defaults
	OK       bool     `json:"ok"`
	Targets  int      `json:"targets"`
	Modules  int      `json:"modules"`
	Mistakes Mistakes `json:"mistakes"`
}

// Check reads the configuration as Load does and writes to w what it found: a
// line for each mistake, or one that says how much is configured. Output is
// "text" (or empty) or "json".
func Check(w io.Writer, named string, env Env, kinds []probe.Kind, output string) (ok bool, err error) {
	if output != "" && output != "text" && output != "json" {
		return false, fmt.Errorf("unknown output %q: it can be text or json", output)
	}
	c, told := Load(named, env, kinds)
	r := report{File: Find(named), OK: c != nil, Mistakes: append(Mistakes{}, told...)}
	if c != nil {
		r.Targets, r.Modules = len(c.Exporters.Targets), len(c.Modules)
	}
	if output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return r.OK, enc.Encode(r)
	}
	_, err = io.WriteString(w, r.text())
	return r.OK, err
}

func (r report) text() string {
	if !r.OK {
		return r.Mistakes.Error() + "\n"
	}
	modules := count(r.Modules, "module")
	switch {
	case r.File == "":
		return fmt.Sprintf("no %s here: ok, collie up watches this machine then, %s\n", DefaultFile, modules)
	case r.Targets == 0:
		return fmt.Sprintf("%s: ok, but without targets nothing is watched, %s\n", r.File, modules)
	}
	return fmt.Sprintf("%s: ok, %s, %s\n", r.File, count(r.Targets, "target"), modules)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
