package strictyaml

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Lines finds the line in which a path stands.
type Lines struct{ root *yaml.Node }

// LinesOf looks paths up in the document that Parse returned.
func LinesOf(root *yaml.Node) Lines { return Lines{root} }

// Of is the line of a path like `targets[2].depends_on[0]`: of the key for a
// map, of the item for a list. For a path that is not in the document it is
// the line of the nearest part that is; 0 if there is no document.
func (l Lines) Of(path string) int {
	node := resolve(l.root)
	if node == nil || node.Kind == 0 {
		return 0
	}
	line := node.Line
	for path != "" && node != nil {
		var step string
		var index bool
		step, index, path = cutPath(path)
		at, next := descend(node, step, index)
		if next == nil {
			break
		}
		line, node = at, resolve(next)
	}
	return line
}

// cutPath takes the first step off a path: a key, or an index of a list.
func cutPath(path string) (step string, index bool, rest string) {
	path = strings.TrimPrefix(path, ".")
	if quoted, ok := strings.CutPrefix(path, `["`); ok {
		return cutQuoted(quoted)
	}
	if inside, ok := strings.CutPrefix(path, "["); ok {
		step, rest, _ = strings.Cut(inside, "]")
		return step, true, rest
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, false, ""
	}
	return path[:end], false, path[end:]
}

func cutQuoted(inside string) (step string, index bool, rest string) {
	quoted, err := strconv.QuotedPrefix(`"` + inside)
	if err != nil {
		return inside, false, ""
	}
	step, _ = strconv.Unquote(quoted)
	return step, false, strings.TrimPrefix(inside[len(quoted)-1:], "]")
}

// descend finds the line and the node of one step below node.
func descend(node *yaml.Node, step string, index bool) (int, *yaml.Node) {
	switch {
	case index && node.Kind == yaml.SequenceNode:
		i, err := strconv.Atoi(step)
		if err != nil || i < 0 || i >= len(node.Content) {
			return 0, nil
		}
		return node.Content[i].Line, node.Content[i]
	case !index && node.Kind == yaml.MappingNode:
		return lookup(node, step, maxDepth)
	}
	return 0, nil
}

// lookup finds a key of a map, its own before those merged into it.
func lookup(node *yaml.Node, key string, depth int) (int, *yaml.Node) {
	if depth == 0 || node == nil {
		return 0, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if k := resolve(node.Content[i]); k != nil && k.Kind == yaml.ScalarNode && k.Value == key {
			return node.Content[i].Line, node.Content[i+1]
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if isMerge(node.Content[i]) {
			return lookupMerged(resolve(node.Content[i+1]), key, depth-1)
		}
	}
	return 0, nil
}

func lookupMerged(merged *yaml.Node, key string, depth int) (int, *yaml.Node) {
	if merged == nil || merged.Kind == yaml.ScalarNode {
		return 0, nil
	}
	if merged.Kind == yaml.MappingNode {
		return lookup(merged, key, depth)
	}
	for _, item := range merged.Content {
		item = resolve(item)
		if item == nil || item.Kind != yaml.MappingNode {
			continue
		}
		if line, found := lookup(item, key, depth); found != nil {
			return line, found
		}
	}
	return 0, nil
}

// resolve goes through documents and aliases to what they hold.
func resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		switch {
		case n == nil:
			return nil
		case n.Kind == yaml.DocumentNode && len(n.Content) > 0:
			n = n.Content[0]
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		default:
			return n
		}
	}
	return nil
}
