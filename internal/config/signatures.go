package config

import (
	"errors"
	"path/filepath"

	"github.com/colliehq/collie/internal/strictyaml"
	"github.com/colliehq/collie/signatures"
)

// readSignatures reads the signature files, whose names are relative to the
// folder of the configuration. Mistakes in them are told under their own names.
func (c *Config) readSignatures(lines strictyaml.Lines, n *notes) (told Mistakes) {
	for i, name := range c.Signatures.Files {
		if name != "" && !filepath.IsAbs(name) {
			c.Signatures.Files[i] = filepath.Join(filepath.Dir(c.File), name)
		}
	}
	before := len(n.told)
	c.Signatures.Validate(func(path, message string) {
		n.bad(lines.Of("signatures."+path), "signatures."+path, message)
	})
	if len(n.told) > before || len(c.Signatures.Files) == 0 {
		return nil
	}
	_, err := signatures.Load(c.Signatures.Files...)
	if wrong, ok := errors.AsType[signatures.Error](err); ok {
		for _, m := range wrong {
			told = append(told, Mistake{File: m.File, Line: m.Line, Message: m.Message})
		}
	} else if err != nil {
		n.bad(lines.Of("signatures.files"), "signatures.files", err.Error())
	}
	return told
}
