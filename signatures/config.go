package signatures

import (
	"fmt"
	"slices"
)

// Config is the section signatures of collie.yml.
type Config struct {
	// Files are files and folders of signatures beside the shipped ones.
	Files []string `yaml:"files"`
}

// Default is the shipped signatures alone.
func Default() Config { return Config{} }

// Validate tells which of the files cannot be had. What is in them is looked at
// by Load.
func (c Config) Validate(bad func(path, message string)) {
	for i, name := range c.Files {
		path := fmt.Sprintf("files[%d]", i)
		if slices.Contains(c.Files[:i], name) {
			bad(path, fmt.Sprintf("%s is named twice", name))
			continue
		}
		if _, err := files(name); err != nil {
			bad(path, err.Error())
		}
	}
}
