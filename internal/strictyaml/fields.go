package strictyaml

import (
	"cmp"
	"encoding"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fields are the keys of a struct, those of its inline structs included.
type fields struct {
	names []string
	index map[string][]int
	also  map[string]string // a word people write instead, to the key
	rest  []int             // an inline map for all other keys; nil if there is none
}

func (d *decoder) fieldsOf(t reflect.Type) *fields {
	if f, ok := d.structs[t]; ok {
		return f
	}
	f := newFields(t)
	d.structs[t] = f
	return f
}

// KeysOf lists every key that Decode accepts for a value of v's type, with the
// keys below it, in their order: "targets[].every". What decodes itself has no
// keys below it.
func KeysOf(v any) []string {
	return keysBelow(reflect.TypeOf(v), "", nil)
}

func keysBelow(t reflect.Type, path string, all []string) []string {
	if path != "" {
		all = append(all, path)
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		switch t.Kind() {
		case reflect.Slice:
			path += "[]"
		case reflect.Map:
			path = join(path, "*")
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || decodesItself(t) {
		return all
	}
	f := newFields(t)
	for _, name := range f.names {
		all = keysBelow(t.FieldByIndex(f.index[name]).Type, join(path, name), all)
	}
	return all
}

func decodesItself(t reflect.Type) bool {
	if t == nodeType {
		return true
	}
	switch reflect.New(t).Interface().(type) {
	case Unmarshaler, yaml.Unmarshaler, libraryUnmarshaler, encoding.TextUnmarshaler:
		return true
	}
	return false
}

func newFields(t reflect.Type) *fields {
	f := &fields{index: map[string][]int{}, also: map[string]string{}}
	f.add(t, nil)
	return f
}

func (f *fields) add(t reflect.Type, at []int) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, inline := tagOf(field)
		if name == "-" || !field.IsExported() && (!field.Anonymous || !inline) {
			continue
		}
		here := append(append([]int(nil), at...), i)
		if !inline {
			f.key(name, here, field.Tag.Get("also"))
			continue
		}
		switch inner := pointed(field.Type); inner.Kind() {
		case reflect.Struct:
			f.add(inner, here)
		case reflect.Map:
			f.rest = here
		default:
			panic("strictyaml: only structs and maps can be inline: " + t.String() + "." + field.Name)
		}
	}
}

func (f *fields) key(name string, at []int, also string) {
	if _, ok := f.index[name]; ok {
		return // the outer struct comes first
	}
	f.names = append(f.names, name)
	f.index[name] = at
	for word := range strings.SplitSeq(also, ",") {
		if word != "" {
			f.also[word] = name
		}
	}
}

func tagOf(field reflect.StructField) (name string, inline bool) {
	name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	if name == "" {
		name = strings.ToLower(field.Name)
	}
	return name, strings.Contains(","+options+",", ",inline,")
}

func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func (d *decoder) structure(n *yaml.Node, out reflect.Value, path string) {
	known := d.fieldsOf(out.Type())
	if n.Kind != yaml.MappingNode {
		d.report(n, path, "expected a map, found %s%s", describe(n), cmp.Or(mapHint(n), known.list()))
		return
	}
	for _, p := range d.pairs(n, path) {
		at, ok := known.index[p.key.Value]
		switch {
		case ok:
			d.value(p.value, fieldAt(out, at), child(path, p.key.Value))
		case known.rest != nil:
			d.rest(p, fieldAt(out, known.rest), path)
		default:
			d.report(p.key, path, "unknown key %q%s", p.key.Value, known.nearest(p.key.Value))
		}
	}
}

func (d *decoder) rest(p pair, out reflect.Value, path string) {
	if out.IsNil() {
		out.Set(reflect.MakeMap(out.Type()))
	}
	d.entry(p, out, path)
}

// nearest ends the sentence about an unknown key. A word that people write
// instead of a key suggests that key, misspelt or not.
func (f *fields) nearest(word string) string {
	near := Nearest(word, f.names)
	if near == "" || f.also[strings.ToLower(word)] != "" {
		near = Nearest(word, slices.Sorted(maps.Keys(f.also)))
	}
	if key, ok := f.also[near]; ok {
		return Suggestion(key, []string{key})
	}
	return Suggestion(word, f.names)
}

// list is the keys for a sentence, if they are few.
func (f *fields) list() string {
	if len(f.names) == 0 || len(f.names) > 12 {
		return ""
	}
	return "; its keys are " + strings.Join(f.names, ", ")
}

// fieldAt is reflect's FieldByIndex, making what inline pointers point to.
func fieldAt(v reflect.Value, at []int) reflect.Value {
	for i, x := range at {
		if i > 0 {
			for v.Kind() == reflect.Pointer {
				if v.IsNil() {
					v.Set(fresh(v.Type().Elem()))
				}
				v = v.Elem()
			}
		}
		v = v.Field(x)
	}
	return v
}
