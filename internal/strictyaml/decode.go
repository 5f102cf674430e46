// Package strictyaml puts YAML into Go structs and reports every mistake in one
// run, each with its line, where it stands, and what would be right.
//
// It walks the parsed nodes itself: the decoder of the YAML library stops at the
// first duplicate key, knows no nearest word, and truncates 3.7 to 3.
package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Bad is told of each mistake: the line (counted from 1, 0 if unknown), the
// place as in "targets[2].every" (empty for the whole document) and a sentence.
type Bad = func(line int, path, message string)

// Unmarshaler is a type that decodes itself and may report several mistakes.
// Paths are relative to the node.
type Unmarshaler interface {
	DecodeYAML(node *yaml.Node, bad func(line int, path, message string))
}

// Defaulter fills in defaults. It is called on each value that decoding makes:
// elements of lists, values of maps, what pointers point to.
type Defaulter interface{ SetDefaults() }

// libraryUnmarshaler is how older types of the Prometheus libraries decode
// themselves.
type libraryUnmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// Bounds on what outside bytes can ask for. Text that is not repeated by aliases
// is bounded by its own size.
const (
	maxDepth    = 100
	maxExpanded = 500_000 // values that aliases may repeat
)

// Decode puts node into what into points to, and tells bad of every mistake.
// What the document leaves out, or leaves empty, keeps the value it has: fill
// in defaults first. Struct tags are those of the YAML library: a name, "-" or
// ",inline". The tag also:"interval,period" lists words that people may write
// instead of the key; they are suggested, not accepted.
func Decode(node *yaml.Node, into any, bad func(line int, path, message string)) {
	out := reflect.ValueOf(into)
	if out.Kind() != reflect.Pointer || out.IsNil() {
		panic(fmt.Sprintf("strictyaml: cannot decode into %T, a pointer is needed", into))
	}
	if node == nil || node.Kind == 0 {
		return
	}
	d := &decoder{bad: bad, open: map[*yaml.Node]bool{}, structs: map[reflect.Type]*fields{}}
	d.value(node, out.Elem(), "")
}

type decoder struct {
	bad      Bad
	mistakes int
	depth    int
	aliases  int                 // aliases around the current node
	expanded int                 // nodes seen below an alias
	open     map[*yaml.Node]bool // anchors being expanded
	structs  map[reflect.Type]*fields
}

func (d *decoder) report(n *yaml.Node, path, format string, args ...any) {
	d.mistakes++
	d.bad(n.Line, path, fmt.Sprintf(format, args...))
}

// value puts n into out, which can be set.
func (d *decoder) value(n *yaml.Node, out reflect.Value, path string) {
	if !d.enter(n, path) {
		return
	}
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) > 0 {
			d.value(n.Content[0], out, path)
		}
		return
	case yaml.AliasNode:
		d.alias(n, path, func(target *yaml.Node) { d.value(target, out, path) })
		return
	}
	if d.byItself(n, out, path) || isNull(n) {
		return
	}
	if n.Kind == yaml.ScalarNode && !knownTag(n) {
		d.report(n, path, "unknown tag %s", n.Tag)
		return
	}
	d.byKind(n, out, path)
}

func (d *decoder) byKind(n *yaml.Node, out reflect.Value, path string) {
	switch out.Kind() {
	case reflect.Pointer:
		if out.IsNil() {
			out.Set(fresh(out.Type().Elem()))
		}
		d.value(n, out.Elem(), path)
	case reflect.Struct:
		d.structure(n, out, path)
	case reflect.Map:
		d.mapping(n, out, path)
	case reflect.Slice:
		d.list(n, out, path)
	case reflect.Interface:
		d.anything(n, out, path)
	default:
		d.scalar(n, out, path)
	}
}

// enter counts n against the bounds, and says whether to go on.
func (d *decoder) enter(n *yaml.Node, path string) bool {
	if d.aliases > 0 {
		d.expanded++
	}
	switch {
	case d.expanded > maxExpanded:
		if d.expanded == maxExpanded+1 {
			d.report(n, path, "aliases repeat more than %d values; write it without so many of them", maxExpanded)
		}
		return false
	case d.depth >= maxDepth:
		d.report(n, path, "nested more than %d deep", maxDepth)
		return false
	}
	d.depth++
	return true
}

// alias calls f with what n stands for.
func (d *decoder) alias(n *yaml.Node, path string, f func(*yaml.Node)) {
	target := n.Alias
	if target == nil {
		d.report(n, path, "no anchor &%s", n.Value)
		return
	}
	if d.open[target] {
		d.report(n, path, "*%s contains itself", n.Value)
		return
	}
	d.open[target] = true
	d.aliases++
	f(target)
	d.aliases--
	delete(d.open, target)
}

var nodeType = reflect.TypeFor[yaml.Node]()

// byItself handles types that decode themselves, and says whether it did.
func (d *decoder) byItself(n *yaml.Node, out reflect.Value, path string) bool {
	if out.Type() == nodeType {
		out.Set(reflect.ValueOf(*n))
		return true
	}
	if !out.CanAddr() || isNull(n) {
		return false
	}
	switch u := out.Addr().Interface().(type) {
	case Unmarshaler:
		u.DecodeYAML(n, func(line int, below, message string) {
			d.mistakes++
			d.bad(line, join(path, below), message)
		})
	case yaml.Unmarshaler:
		d.failure(n, path, u.UnmarshalYAML(n))
	case libraryUnmarshaler:
		d.library(n, u, path)
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			d.notSingle(n, path)
			return true
		}
		d.failure(n, path, u.UnmarshalText([]byte(n.Value)))
	default:
		return false
	}
	return true
}

// library lets u decode itself through this decoder, so that its keys are as
// strict as all others. The library wants an error to stop at; the mistakes
// behind it were reported already.
func (d *decoder) library(n *yaml.Node, u libraryUnmarshaler, path string) {
	before := d.mistakes
	err := u.UnmarshalYAML(func(v any) error {
		inner := reflect.ValueOf(v)
		if inner.Kind() != reflect.Pointer || inner.IsNil() {
			return fmt.Errorf("cannot decode into %T", v)
		}
		start := d.mistakes
		d.value(n, inner.Elem(), path)
		if d.mistakes > start {
			return fmt.Errorf("%d mistakes", d.mistakes-start)
		}
		return nil
	})
	if d.mistakes == before {
		d.failure(n, path, err)
	}
}

func (d *decoder) list(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.report(n, path, "expected a list, found %s%s", describe(n), listHint(n))
		return
	}
	made := reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if kind := out.Type().Elem(); isNull(item) && kind != nodeType && kind.Kind() != reflect.Interface {
			d.report(item, at, "is empty; fill it in or remove the dash")
			continue
		}
		made.Index(i).Set(fresh(out.Type().Elem()).Elem())
		d.value(item, made.Index(i), at)
	}
	out.Set(made)
}

func (d *decoder) mapping(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.report(n, path, "expected a map, found %s%s", describe(n), mapHint(n))
		return
	}
	if out.IsNil() {
		out.Set(reflect.MakeMap(out.Type()))
	}
	for _, p := range d.pairs(n, path) {
		d.entry(p, out, path)
	}
}

func (d *decoder) entry(p pair, out reflect.Value, path string) {
	key := reflect.New(out.Type().Key()).Elem()
	before := d.mistakes
	d.value(p.key, key, path)
	if d.mistakes > before {
		return
	}
	value := fresh(out.Type().Elem()).Elem()
	if old := out.MapIndex(key); old.IsValid() {
		value.Set(old)
	}
	d.value(p.value, value, child(path, p.key.Value))
	out.SetMapIndex(key, value)
}

// fresh makes a value with its defaults, and returns a pointer to it.
func fresh(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if t.Kind() == reflect.Pointer {
		return v
	}
	if f, ok := reflect.TypeAssert[Defaulter](v); ok {
		f.SetDefaults()
	}
	return v
}

// anything fills an interface: a default that is a pointer is filled, else
// plain maps, lists and scalars are made.
func (d *decoder) anything(n *yaml.Node, out reflect.Value, path string) {
	if out.NumMethod() > 0 {
		d.report(n, path, "cannot be set here")
		return
	}
	var made reflect.Value
	switch n.Kind {
	case yaml.MappingNode:
		made = reflect.New(reflect.TypeFor[map[string]any]()).Elem()
	case yaml.SequenceNode:
		made = reflect.New(reflect.TypeFor[[]any]()).Elem()
	default:
		var v any
		if err := n.Decode(&v); err != nil {
			d.failure(n, path, err)
			return
		}
		if v != nil {
			out.Set(reflect.ValueOf(v))
		}
		return
	}
	d.value(n, made, path)
	out.Set(made)
}
