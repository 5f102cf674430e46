package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/strictyaml"
)

// Show is the whole configuration as YAML, defaults included and secrets left
// out: what names a secret shows <secret>, what came from the environment shows
// its ${NAME}, and URLs lose their passwords.
func (c *Config) Show() ([]byte, error) {
	node, err := strictyaml.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("show the configuration: %w", err)
	}
	c.redact(node, "")
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return nil, fmt.Errorf("show the configuration: %w", err)
	}
	return text.Bytes(), nil
}

func (c *Config) redact(n *yaml.Node, key string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			c.redact(n.Content[i+1], n.Content[i].Value)
		}
	case yaml.ScalarNode:
		c.redactScalar(n, key)
	default:
		for _, item := range n.Content {
			c.redact(item, key)
		}
	}
}

func (c *Config) redactScalar(n *yaml.Node, key string) {
	if n.Value == "" || n.ShortTag() == "!!null" {
		return
	}
	shown := secret.URLs(n.Value)
	if text, ok := c.env.shown[keyed{key, n.Value}]; ok {
		shown = secret.URLs(text)
	}
	if secret.Named(key) {
		shown = secret.Mark
	}
	if shown != n.Value {
		n.SetString(shown)
	}
}

// String says where the configuration is from. Its values may hold secrets from
// the environment, and only Show tells them apart.
func (c Config) String() string {
	return fmt.Sprintf("configuration of %s, %s", cmp.Or(c.File, "built-in defaults"), count(len(c.Exporters.Targets), "target"))
}

// Format writes String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
