package config

import (
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// readModules adds the modules of the module file to the built-in ones. It
// tells mistakes in the file under the file's own name, and whether there were
// none.
func (c *Config) readModules(lines strictyaml.Lines, n *notes, kinds []probe.Kind) (Mistakes, bool) {
	c.Modules = module.Defaults(kinds)
	path := c.Exporters.ModulesFile
	if path == "" {
		return nil, !n.explained().covers("modules_file")
	}
	text, err := read(path)
	if err != nil {
		n.bad(lines.Of("modules_file"), "modules_file", path+" "+err.Error())
		return nil, false //nolint:nilerr // it was told as a mistake
	}
	own := &notes{file: path}
	c.Modules = module.Merge(c.Modules, module.Parse(text, kinds, own.bad))
	checkSecretFiles(text, own.bad)
	return own.told, len(own.told) == 0
}

// checkSecretFiles looks at the files with secrets that a module file names, as
// for our own file. Secrets in its text are blackbox_exporter's habit and stay
// allowed; relative names are, as there, relative to the working directory.
func checkSecretFiles(text []byte, bad strictyaml.Bad) {
	root := strictyaml.Parse(text, func(int, string, string) {}) // told by whoever decodes it
	if root == nil {
		return
	}
	w := &walker{inline: true, env: newExpansions(), bad: bad, checked: map[string]bool{}}
	w.value(root, "", "")
}
