// Package module reads module files, which say how things are probed. Their
// format is blackbox_exporter's: options that both have mean the same, and what
// is not supported is a mistake, never ignored.
package module

import (
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

//go:embed default.yml
var builtin []byte

// Mistake is something wrong in a module file.
type Mistake struct {
	Line    int    // counted from 1; 0 if it is not known
	Path    string // as in "modules.http_2xx.http.method"; empty for the whole file
	Message string
}

// Error is what is wrong with a module file: every mistake in it, by line.
type Error struct {
	File     string
	Mistakes []Mistake
}

// Error has one line for each mistake: FILE:LINE: PATH: MESSAGE.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		at := e.File
		if m.Line > 0 {
			at = fmt.Sprintf("%s:%d", e.File, m.Line)
		}
		if m.Path != "" {
			at += ": " + m.Path
		}
		lines[i] = at + ": " + m.Message
	}
	return strings.Join(lines, "\n")
}

// Load reads a module file. An error about its content is an *Error.
func Load(path string, kinds []probe.Kind) ([]probe.Module, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("modules_file: %w", err)
	}
	e := &Error{File: path}
	modules := Parse(text, kinds, func(line int, path, message string) {
		e.Mistakes = append(e.Mistakes, Mistake{line, path, message})
	})
	if len(e.Mistakes) == 0 {
		return modules, nil
	}
	slices.SortStableFunc(e.Mistakes, func(a, b Mistake) int {
		return cmp.Or(a.Line-b.Line, strings.Compare(a.Path, b.Path), strings.Compare(a.Message, b.Message))
	})
	return nil, e
}

// Defaults are the built-in modules whose kind is among kinds.
func Defaults(kinds []probe.Kind) []probe.Module {
	var mistakes []Mistake
	all := Parse(builtin, kinds, func(line int, path, message string) { mistakes = append(mistakes, Mistake{line, path, message}) })
	known := func(m probe.Module) bool {
		return slices.ContainsFunc(kinds, func(k probe.Kind) bool { return k.Name == m.Kind })
	}
	for _, m := range all {
		at := slices.IndexFunc(mistakes, func(x Mistake) bool { return strings.HasPrefix(x.Path, "modules."+m.Name+".") })
		if at >= 0 && known(m) {
			panic(fmt.Sprintf("module: the built-in module %s is broken: %v", m.Name, mistakes[at]))
		}
	}
	return slices.DeleteFunc(all, func(m probe.Module) bool { return !known(m) })
}

// Merge is the built-in modules with those of a file added; of two with one
// name that of the file holds.
func Merge(defaults, file []probe.Module) []probe.Module {
	merged := slices.Clone(defaults)
	for _, m := range file {
		at := slices.IndexFunc(merged, func(x probe.Module) bool { return x.Name == m.Name })
		if at < 0 {
			merged = append(merged, m)
			continue
		}
		merged[at] = m
	}
	return merged
}

// Map gives the modules by their names.
func Map(modules []probe.Module) map[string]probe.Module {
	byName := make(map[string]probe.Module, len(modules))
	for _, m := range modules {
		byName[m.Name] = m
	}
	return byName
}

// Parse decodes the text of a module file, in the order in which the modules
// stand there, and tells bad of every mistake. The modules may be used only if
// there was none.
func Parse(text []byte, kinds []probe.Kind, bad func(line int, path, message string)) []probe.Module {
	root := strictyaml.Parse(text, bad)
	if root == nil {
		return nil
	}
	var file struct {
		Modules map[string]yaml.Node `yaml:"modules"`
	}
	strictyaml.Decode(root, &file, bad)
	names := make([]string, 0, len(file.Modules))
	for name := range file.Modules {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := file.Modules[a].Line - file.Modules[b].Line; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var modules []probe.Module
	for _, name := range names {
		node := file.Modules[name]
		d := decoder{name: name, kinds: kinds, bad: bad}
		modules = append(modules, d.module(&node))
	}
	return modules
}

// decoder reads one module.
type decoder struct {
	name  string
	kinds []probe.Kind
	bad   func(line int, path, message string)
}

// outline is a module before its kind reads its section.
type outline struct {
	Prober   string               `yaml:"prober"`
	Timeout  time.Duration        `yaml:"timeout"`
	Sections map[string]yaml.Node `yaml:",inline"`
}

func (d *decoder) mistake(line int, below, format string, args ...any) {
	d.bad(line, join("modules."+d.name, below), fmt.Sprintf(format, args...))
}

func join(path, below string) string {
	if below == "" {
		return path
	}
	return path + "." + below
}

func (d *decoder) module(node *yaml.Node) probe.Module {
	var o outline
	strictyaml.Decode(node, &o, func(line int, path, message string) { d.mistake(line, path, "%s", message) })
	m := probe.Module{Name: d.name, Kind: o.Prober, Timeout: o.Timeout, Config: shown(node)}
	if node.Kind != yaml.MappingNode && node.ShortTag() != "!!null" {
		return m // told of already
	}
	d.checkSections(&o)
	kind := slices.IndexFunc(d.kinds, func(k probe.Kind) bool { return k.Name == o.Prober })
	if kind < 0 {
		d.unknownProber(node, o.Prober)
		return m
	}
	var section *yaml.Node
	if s, ok := o.Sections[o.Prober]; ok {
		section = &s
	}
	m.Probe = d.kinds[kind].Build(section, func(line int, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if line == 0 {
			line = node.Line
		}
		if path, message, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(path, o.Prober) {
			d.mistake(line, path, "%s", message)
			return
		}
		d.mistake(line, o.Prober, "%s", text)
	})
	return m
}

// checkSections reports keys that are no section, or one that has no effect.
func (d *decoder) checkSections(o *outline) {
	for key, section := range o.Sections {
		known := slices.ContainsFunc(d.kinds, func(k probe.Kind) bool { return k.Name == key })
		switch {
		case key == o.Prober:
		case unsupportedProbers()[key]:
			d.mistake(section.Line, key, "blackbox_exporter's prober %s is not supported by Collie", key)
		case known && o.Prober != "":
			d.mistake(section.Line, key, "has no effect, since prober is %s", o.Prober)
		case !known:
			d.mistake(section.Line, "", "unknown key %q%s", key, strictyaml.Suggestion(key, append(d.kindNames(), "prober", "timeout")))
		}
	}
}

func (d *decoder) unknownProber(node *yaml.Node, prober string) {
	line := strictyaml.LinesOf(node).Of("prober")
	switch {
	case prober == "":
		d.mistake(node.Line, "prober", "is missing; it can be %s", strings.Join(d.kindNames(), ", "))
	case unsupportedProbers()[prober]:
		d.mistake(line, "prober", "blackbox_exporter's prober %s is not supported by Collie; it can be %s", prober, strings.Join(d.kindNames(), ", "))
	default:
		d.mistake(line, "prober", "%q is unknown%s", prober, strictyaml.Suggestion(prober, d.kindNames()))
	}
}

func (d *decoder) kindNames() []string {
	names := make([]string, len(d.kinds))
	for i, k := range d.kinds {
		names[i] = k.Name
	}
	return names
}

// unsupportedProbers are those that blackbox_exporter has and Collie has not.
func unsupportedProbers() map[string]bool {
	return map[string]bool{"grpc": true, "unix": true, "websocket": true}
}
