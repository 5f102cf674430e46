package strictyaml

import (
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// pair is a key of a map with its value.
type pair struct{ key, value *yaml.Node }

// pairs lists the keys of a map: its own, then those that "<<" merges into it
// and that it does not set itself.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var own, merges []pair
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			d.report(n.Content[i], path, "a key must be a single word, not %s; text that begins with { or [ must be in quotes", describe(key))
			continue
		}
		if isMerge(key) {
			merges = append(merges, pair{key, value})
			continue
		}
		if line, ok := lines[key.Value]; ok {
			d.report(n.Content[i], path, "duplicate key %q; it is already set in line %d", key.Value, line)
			continue
		}
		lines[key.Value] = n.Content[i].Line
		own = append(own, pair{key, value})
	}
	for _, m := range merges {
		own = d.merge(m.value, own, lines, path)
	}
	return own
}

// merge adds the pairs of n, a map or a list of maps, whose keys are not taken.
func (d *decoder) merge(n *yaml.Node, own []pair, taken map[string]int, path string) []pair {
	if !d.enter(n, path) {
		return own
	}
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		d.alias(n, path, func(target *yaml.Node) { own = d.merge(target, own, taken, path) })
	case yaml.SequenceNode:
		for _, item := range n.Content {
			own = d.merge(item, own, taken, path)
		}
	case yaml.MappingNode:
		for _, p := range d.pairs(n, path) {
			if d.aliases > 0 {
				d.expanded++
			}
			if _, ok := taken[p.key.Value]; !ok {
				taken[p.key.Value] = p.key.Line
				own = append(own, p)
			}
		}
	default:
		d.report(n, path, "only a map can be merged with <<, found %s", describe(n))
	}
	return own
}

func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && (n.Tag == "" || n.Tag == "!" || n.ShortTag() == "!!merge")
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// child is the path of a key below path.
func child(path, key string) string {
	if !plainKey.MatchString(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	return join(path, key)
}

func join(path, below string) string {
	switch {
	case path == "" || below == "":
		return path + below
	case below[0] == '[':
		return path + below
	}
	return path + "." + below
}
