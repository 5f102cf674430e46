package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/strictyaml"
)

// walker looks at the values of a document by the names of their keys: what
// names a file is taken relative to the document, what names a secret's file
// must be one that others cannot read, and a secret itself stands elsewhere.
type walker struct {
	folder  string // where relative paths begin
	inline  bool   // secrets may stand in this file, since its format is not ours
	env     *expansions
	bad     strictyaml.Bad
	checked map[string]bool // secret files, so that each is told once
}

func (w *walker) value(n *yaml.Node, path, key string) {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, item := range n.Content {
			w.value(item, path, key)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			w.value(item, fmt.Sprintf("%s[%d]", path, i), key)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			w.value(n.Content[i+1], join(path, name), name)
		}
	case yaml.ScalarNode:
		w.scalar(n, path, key)
	}
}

func (w *walker) scalar(n *yaml.Node, path, key string) {
	if n.Value == "" || n.ShortTag() == "!!null" {
		return
	}
	if isFile(key) && !filepath.IsAbs(n.Value) {
		n.Value = filepath.Join(w.folder, n.Value)
	}
	switch _, fromEnv := w.env.original[n]; {
	case key == "target" && secret.InURL(n.Value):
		w.bad(n.Line, path, "a target stands on pages and in labels and must not carry a password; use a module with basic_auth and password_file")
	case secret.NamedFile(key):
		w.secretFile(n, path)
	case w.inline || fromEnv:
	case secret.Named(key) && strings.HasSuffix(path, ".headers."+key): // no header is read from a file
		w.bad(n.Line, path, fmt.Sprintf("a secret does not stand in this file; write ${%s} and set that variable", envName(key)))
	case secret.Named(key):
		w.bad(n.Line, path, fmt.Sprintf("a secret does not stand in this file; name a file with %s_file, or write ${%s} and set that variable",
			key, envName(key)))
	case secret.InURL(n.Value):
		w.bad(n.Line, path, "a password does not stand in this file; write ${PASSWORD} in its place and set that variable")
	}
}

func (w *walker) secretFile(n *yaml.Node, path string) {
	if w.checked[n.Value] {
		return
	}
	w.checked[n.Value] = true
	if _, err := secret.Read(n.Value); err != nil {
		w.bad(n.Line, path, sentence(err))
	}
}

// sentence is the error without the words of the operating system where ours
// say the same.
func sentence(err error) string {
	text := err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		text = strings.TrimSuffix(text, ": "+inner.Error())
	}
	return text
}

func isFile(key string) bool {
	return strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_files")
}

func envName(key string) string {
	return strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}
