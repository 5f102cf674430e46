package config

import (
	"github.com/colliehq/collie/internal/strictyaml"
)

// Engine says where state or queue live.
type Engine struct {
	// Engine is "sqlite", the only one in this version.
	Engine string `yaml:"engine"`
}

const sqlite = "sqlite"

func (e Engine) validate(section string, bad func(path, format string, args ...any)) {
	switch e.Engine {
	case sqlite:
	case "rabbitmq", "postgres", "postgresql":
		bad(section+".engine", "%q is not in this version of Collie; write sqlite", e.Engine)
	default:
		bad(section+".engine", "unknown engine %q%s", e.Engine, strictyaml.Suggestion(e.Engine, []string{sqlite}))
	}
}

// notYet reports whether the section is one that later versions have.
func notYet(section string) bool {
	switch section {
	case "webhooks", "logs", "herder":
		return true
	}
	return false
}
