package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Encode is the way back: v as a document that Decode reads, with defaults
// written out and durations in Prometheus' way. It follows the same struct
// tags, and ",omitempty". Types that write themselves (yaml.Marshaler,
// encoding.TextMarshaler) do.
func Encode(v any) (*yaml.Node, error) {
	return encode(reflect.ValueOf(v), 0)
}

func encode(v reflect.Value, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("encode YAML: nested more than %d deep", maxDepth)
	}
	if node, done, err := encodeItself(v, depth); done {
		return node, err
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return encode(v.Elem(), depth+1)
	case reflect.Struct:
		node := &yaml.Node{Kind: yaml.MappingNode}
		return node, encodeFields(node, v, depth)
	case reflect.Map:
		return encodeMap(v, depth)
	case reflect.Slice, reflect.Array:
		return encodeList(v, depth)
	}
	return plain(v.Interface())
}

// encodeItself handles what is not written by its kind, and says whether it did.
func encodeItself(v reflect.Value, depth int) (*yaml.Node, bool, error) {
	if !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, true, nil
	}
	switch own := v.Interface().(type) {
	case yaml.Node:
		budget := maxExpanded
		return copied(&own, depth, &budget), true, nil
	case *yaml.Node:
		budget := maxExpanded
		return copied(own, depth, &budget), true, nil
	case time.Duration:
		node, err := plain(FormatDuration(own))
		return node, true, err
	case yaml.Marshaler:
		made, err := own.MarshalYAML()
		if err != nil {
			return nil, true, fmt.Errorf("encode YAML: %w", err)
		}
		node, err := encode(reflect.ValueOf(made), depth+1)
		return node, true, err
	case encoding.TextMarshaler:
		text, err := own.MarshalText()
		if err != nil {
			return nil, true, fmt.Errorf("encode YAML: %w", err)
		}
		node, err := plain(string(text))
		return node, true, err
	}
	return nil, false, nil
}

// copied is a node of the caller's own, in plain style and without anchors and
// aliases: what they belong to may not be in the new document.
func copied(n *yaml.Node, depth int, budget *int) *yaml.Node {
	if *budget--; n == nil || n.Kind == 0 || depth > maxDepth || *budget < 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	if n.Kind == yaml.AliasNode {
		return copied(n.Alias, depth+1, budget)
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	for _, item := range n.Content {
		c.Content = append(c.Content, copied(item, depth+1, budget))
	}
	return c
}

func plain(v any) (*yaml.Node, error) {
	var node yaml.Node
	if err := node.Encode(v); err != nil {
		return nil, fmt.Errorf("encode YAML: %w", err)
	}
	return &node, nil
}

func encodeFields(node *yaml.Node, v reflect.Value, depth int) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, inline := tagOf(field)
		value := v.Field(i)
		if name == "-" || !field.IsExported() || strings.Contains(field.Tag.Get("yaml"), ",omitempty") && empty(value) {
			continue
		}
		if inline {
			if err := encodeInline(node, value, depth); err != nil {
				return err
			}
			continue
		}
		below, err := encode(value, depth+1)
		if err != nil {
			return err
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, below)
	}
	return nil
}

func encodeInline(node *yaml.Node, v reflect.Value, depth int) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct {
		return encodeFields(node, v, depth+1)
	}
	rest, err := encodeMap(v, depth+1)
	if err == nil {
		node.Content = append(node.Content, rest.Content...)
	}
	return err
}

func empty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	if own, ok := reflect.TypeAssert[interface{ IsZero() bool }](v); ok && v.Kind() != reflect.Pointer {
		return own.IsZero()
	}
	return v.IsZero()
}

// encodeMap writes the keys in the order of their text.
func encodeMap(v reflect.Value, depth int) (*yaml.Node, error) {
	type entry struct{ key, value *yaml.Node }
	var entries []entry
	for _, key := range v.MapKeys() {
		k, err := encode(key, depth+1)
		if err != nil {
			return nil, err
		}
		value, err := encode(v.MapIndex(key), depth+1)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{k, value})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key.Value, b.key.Value) })
	node := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range entries {
		node.Content = append(node.Content, e.key, e.value)
	}
	return node, nil
}

func encodeList(v reflect.Value, depth int) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		item, err := encode(v.Index(i), depth+1)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, item)
	}
	return node, nil
}
