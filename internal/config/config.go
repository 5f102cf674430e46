// Package config reads the one configuration file, collie.yml, and tells every
// mistake in it in one run. What the sections mean is the rooms' business: each
// owns its Config, its defaults and its Validate; this package joins them.
package config

import (
	"fmt"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/alerting"
	"github.com/colliehq/collie/exporters"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/queue/rabbitmq"
	"github.com/colliehq/collie/internal/strictyaml"
	"github.com/colliehq/collie/ircbot"
	"github.com/colliehq/collie/ledger"
	"github.com/colliehq/collie/signatures"
	"github.com/colliehq/collie/webhook"
)

// Config is the whole configuration, with defaults where the file says nothing.
type Config struct {
	Exporters  exporters.Config  `yaml:",inline"`
	Ledger     ledger.Config     `yaml:"ledger"`
	Alerting   alerting.Config   `yaml:"alerting"`
	IRC        ircbot.Config     `yaml:"irc"`
	Webhooks   webhook.Config    `yaml:"webhooks"`
	Signatures signatures.Config `yaml:"signatures"`
	State      Engine            `yaml:"state"`
	Queue      Queue             `yaml:"queue"`

	// File is where it was read from; empty means built-in defaults.
	File string `yaml:"-"`
	// Modules are those of the modules_file, or the built-in ones.
	Modules []probe.Module `yaml:"-"`

	env *expansions // behind a pointer, so that printing a Config does not tell it
}

// Default is the configuration without a file.
func Default() *Config {
	return &Config{
		Exporters: exporters.DefaultConfig(), Ledger: ledger.Default(),
		Alerting: alerting.DefaultConfig(), IRC: ircbot.Default(), Webhooks: webhook.Default(), Signatures: signatures.Default(),
		State: Engine{sqlite}, Queue: Queue{sqlite, rabbitmq.Default()},
		env: newExpansions(),
	}
}

// Load reads the file that Find finds for the name, which may be empty, and
// the module file that it names. Kinds are the kinds of probes that modules can
// be of. With mistakes the configuration is nil.
func Load(named string, env Env, kinds []probe.Kind) (*Config, Mistakes) {
	c := Default()
	c.File = Find(named)
	n := &notes{file: filepath.Clean(c.File)}
	lines, ok := strictyaml.Lines{}, true
	if c.File != "" {
		lines, ok = c.load(n, env)
	}
	var told Mistakes
	if ok {
		written := n.explained()
		var modulesKnown bool
		told, modulesKnown = c.readModules(lines, n, kinds)
		told = append(told, c.readSignatures(lines, n)...)
		c.validate(lines, n, written, kinds, modulesKnown)
	}
	if told = append(told, n.told...).sorted(n.file); len(told) > 0 {
		return nil, told
	}
	return c, nil
}

// load reads the file into c, and says whether there is anything to validate.
func (c *Config) load(n *notes, env Env) (strictyaml.Lines, bool) {
	text, err := read(c.File)
	if err != nil {
		n.bad(0, "", err.Error())
		return strictyaml.Lines{}, false
	}
	return c.parse(text, n, env)
}

func (c *Config) parse(text []byte, n *notes, env Env) (strictyaml.Lines, bool) {
	root := strictyaml.Parse(text, n.bad)
	if root == nil {
		return strictyaml.Lines{}, false
	}
	lines := strictyaml.LinesOf(root)
	if root.Kind == 0 || isNothing(root.Content[0]) {
		return lines, true
	}
	if !isMap(root.Content[0], n.bad) {
		return lines, false
	}
	refuseLater(root.Content[0], n.bad)
	c.env.expand(root, "", env, n.bad)
	w := &walker{folder: filepath.Dir(c.File), env: c.env, bad: n.bad, checked: map[string]bool{}}
	w.value(root, "", "")
	c.env.remember(root, "")
	strictyaml.Decode(root, c, n.bad)
	return lines, true
}

func isNothing(top *yaml.Node) bool { return top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" }

// isMap explains a file that is not a map, which is what everything is inside of.
func isMap(top *yaml.Node, bad strictyaml.Bad) bool {
	switch top.Kind {
	case yaml.MappingNode:
		return true
	case yaml.SequenceNode:
		bad(top.Line, "", `the file begins with a list; write "targets:" above it`)
	default:
		bad(top.Line, "", fmt.Sprintf(`%q is no configuration; begin with "targets:"`, top.Value))
	}
	return false
}

// refuseLater takes out the sections that this version does not have yet.
func refuseLater(top *yaml.Node, bad strictyaml.Bad) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(top.Content); i += 2 {
		key := top.Content[i]
		if !notYet(key.Value) {
			kept = append(kept, key, top.Content[i+1])
			continue
		}
		bad(key.Line, key.Value, "is not in this version of Collie, which watches, barks and takes webhooks; remove the section or comment it out")
	}
	top.Content = kept
}

// validate asks the rooms, and leaves out what a mistake in the writing has
// explained already. References to modules are looked at if all are known.
func (c *Config) validate(lines strictyaml.Lines, n *notes, written explained, kinds []probe.Kind, modulesKnown bool) {
	tell := func(line int, path, format string, args ...any) {
		if written.covers(path) {
			return
		}
		if line == 0 {
			line = lines.Of(path)
		}
		n.bad(line, path, fmt.Sprintf(format, args...))
	}
	below := func(prefix string) func(path, format string, args ...any) {
		return func(path, format string, args ...any) { tell(0, join(prefix, path), format, args...) }
	}
	c.Exporters.Validate(below(""))
	c.Ledger.Validate(below("ledger"))
	c.validateAlerting(below)
	c.Webhooks.Validate(below("webhooks"))
	c.State.validate("state", below(""))
	c.Queue.validate(below(""))
	if modulesKnown {
		c.Exporters.ValidateModules(c.Modules, kinds, tell)
	}
}

// validateAlerting looks at what is told and at who is told it: a receiver that
// irc names must be one that alerts are routed to, by alertmanager.yml or by a
// hook.
func (c *Config) validateAlerting(below func(prefix string) func(path, format string, args ...any)) {
	told := slices.DeleteFunc(c.IRC.Receivers(), func(name string) bool { return slices.Contains(c.Webhooks.Receivers(), name) })
	c.Alerting.Queued, c.Alerting.Folder = told, filepath.Dir(c.File)
	c.Alerting.Validate(below("alerting"))
	bad := below("")
	c.IRC.Validate(func(path, format string, args ...any) { bad("irc"+path, format, args...) })
	if c.Webhooks.NamesReceivers() {
		return
	}
	unreached, _ := c.Alerting.Unreached(c.Alerting.Queued)
	for _, name := range unreached {
		bad("irc", "no alert reaches receiver %q: it is not in the alertmanager.yml of alerting.config_file", name)
	}
}
