package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
)

// Env looks a variable up, as os.LookupEnv does.
type Env func(name string) (value string, set bool)

// expansions are the values that came from the environment, with the text that
// stands in the file for them.
type expansions struct {
	original map[*yaml.Node]string
	shown    map[keyed]string
}

// keyed is a value under its key: aliases may carry it to other places.
type keyed struct{ key, value string }

var reference = regexp.MustCompile(`\$\$|\$\{[^}]*\}?`)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand puts the environment's values for ${NAME}, and $ for $$, into the
// values below n. It works on what was parsed already: a value never becomes
// structure, and keys stay as they are.
func (e *expansions) expand(n *yaml.Node, path string, env Env, bad strictyaml.Bad) {
	switch n.Kind {
	case yaml.DocumentNode, yaml.SequenceNode:
		for i, item := range n.Content {
			at := path
			if n.Kind == yaml.SequenceNode {
				at = fmt.Sprintf("%s[%d]", path, i)
			}
			e.expand(item, at, env, bad)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			e.expand(n.Content[i+1], join(path, n.Content[i].Value), env, bad)
		}
	case yaml.ScalarNode:
		e.scalar(n, path, env, bad)
	}
}

func (e *expansions) scalar(n *yaml.Node, path string, env Env, bad strictyaml.Bad) {
	if !strings.Contains(n.Value, "$") {
		return
	}
	before := n.Value
	n.Value = reference.ReplaceAllStringFunc(before, func(found string) string {
		if found == "$$" {
			return "$"
		}
		name := strings.TrimSuffix(found[2:], "}")
		if !strings.HasSuffix(found, "}") || !variable.MatchString(name) {
			bad(n.Line, path, fmt.Sprintf(`%q is not understood; write ${NAME}, or $${ for the two characters`, found))
			return ""
		}
		value, set := env(name)
		if !set {
			bad(n.Line, path, fmt.Sprintf("the environment variable %s is not set", name))
		}
		e.original[n] = before
		return value
	})
}

// remember notes under which keys the values stand, after all that changes them.
func (e *expansions) remember(n *yaml.Node, key string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			e.remember(n.Content[i+1], n.Content[i].Value)
		}
	case yaml.ScalarNode:
		if text, ok := e.original[n]; ok && n.Value != "" {
			e.shown[keyed{key, n.Value}] = text
		}
	default:
		for _, item := range n.Content {
			e.remember(item, key)
		}
	}
}

func newExpansions() *expansions {
	return &expansions{original: map[*yaml.Node]string{}, shown: map[keyed]string{}}
}
