package module

import (
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const redacted = "<secret>"

// shown is a module as YAML for people, with its secrets redacted.
func shown(node *yaml.Node) string {
	s := &shower{}
	text, err := yaml.Marshal(s.copy(node, "", false, 0))
	if err != nil {
		return "cannot be shown: " + err.Error() + "\n"
	}
	return string(text)
}

// shower copies nodes: aliases become what they stand for, secrets a word.
type shower struct{ nodes int }

const (
	mostNodes = 10_000
	mostDepth = 50
)

// copy is n as it may be shown below the key; hidden says that it is, or is
// part of, a secret.
func (s *shower) copy(n *yaml.Node, key string, hidden bool, depth int) *yaml.Node {
	s.nodes++
	if s.nodes > mostNodes || depth > mostDepth {
		return word("...")
	}
	if n.Kind == yaml.AliasNode {
		return s.copy(n.Alias, key, hidden, depth+1)
	}
	out := *n
	out.Anchor, out.Content = "", nil
	out.HeadComment, out.LineComment, out.FootComment = "", "", "" // a secret may be commented out
	if n.Kind == yaml.ScalarNode {
		return presentable(&out, key, hidden)
	}
	for i, child := range n.Content {
		switch {
		case n.Kind != yaml.MappingNode: // an item of a list is what the list is
			child = s.copy(child, key, hidden, depth+1)
		case i%2 == 0:
			child = s.copy(child, "", false, depth+1)
		default:
			name := n.Content[i-1].Value
			child = s.copy(child, name, secret(name) || hidden && !fileOf(name), depth+1)
		}
		out.Content = append(out.Content, child)
	}
	return &out
}

func word(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

// presentable is the value of a key as it may be shown.
func presentable(n *yaml.Node, key string, hidden bool) *yaml.Node {
	switch {
	case n.Value == "":
		return n
	case hidden:
		return word(redacted)
	case key == "send": // of query_response: PASS, AUTH PLAIN, LOGIN
		first, rest, _ := strings.Cut(n.Value, " ")
		lower := strings.ToLower(n.Value)
		if rest != "" && slices.ContainsFunc([]string{"pass", "auth", "login"}, func(w string) bool { return strings.Contains(lower, w) }) {
			return word(first + " " + redacted)
		}
	}
	if u, err := url.Parse(n.Value); err == nil && u.User != nil {
		if _, ok := u.User.Password(); ok {
			return word(u.Redacted())
		}
	}
	return n
}

// secret tells whether a key holds a secret, and not the file of one.
func secret(key string) bool {
	key = strings.ToLower(key)
	if fileOf(key) {
		return false
	}
	if key == "key" || key == "body" || key == "proxy_connect_header" {
		return true
	}
	return slices.ContainsFunc([]string{
		"password", "passphrase", "secret", "token", "credential", "authorization", "cookie", "api-key", "apikey",
		"api_key", "access_key", "private_key", "session",
	}, func(w string) bool { return strings.Contains(key, w) })
}

// fileOf tells whether a key names files.
func fileOf(key string) bool {
	return strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_files") || key == "files"
}
