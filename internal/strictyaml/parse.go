package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Parse reads one document. If it breaks the rules of YAML it tells bad once,
// in words for people, and returns nil; after a broken line the rest cannot be
// read. An empty document is a node of kind 0.
func Parse(text []byte, bad func(line int, path, message string)) *yaml.Node {
	var node, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := safely(func() error { return dec.Decode(&node) })
	if errors.Is(err, io.EOF) {
		return &yaml.Node{}
	}
	if err == nil {
		err = safely(func() error { return dec.Decode(&more) })
		if errors.Is(err, io.EOF) {
			return &node
		}
		if err == nil {
			bad(more.Line, "", `a second document begins here; remove the "---"`)
			return nil
		}
	}
	line, message := syntax(text, err)
	bad(line, "", message)
	return nil
}

// safely turns a panic of the YAML library into an error: it reads outside
// bytes.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return f()
}
