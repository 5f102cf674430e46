package config

import (
	"github.com/colliehq/collie/internal/queue/rabbitmq"
	"github.com/colliehq/collie/internal/strictyaml"
)

// Engine says where state lives.
type Engine struct {
	// Engine is "sqlite", the only one in this version.
	Engine string `yaml:"engine"`
}

// Queue says where signals wait for their readers.
type Queue struct {
	// Engine is "sqlite" or "rabbitmq".
	Engine   string          `yaml:"engine"`
	RabbitMQ rabbitmq.Config `yaml:"rabbitmq"` // means nothing to the other engine
}

// Broker reports whether signals travel through RabbitMQ.
func (q Queue) Broker() bool { return q.Engine == broker }

const (
	sqlite = "sqlite"
	broker = "rabbitmq"
)

func (e Engine) validate(section string, bad func(path, format string, args ...any)) {
	switch e.Engine {
	case sqlite:
	case "postgres", "postgresql":
		bad(section+".engine", "%q is not in this version of Collie; write sqlite", e.Engine)
	default:
		bad(section+".engine", "unknown engine %q%s", e.Engine, strictyaml.Suggestion(e.Engine, []string{sqlite}))
	}
}

func (q *Queue) validate(bad func(path, format string, args ...any)) {
	switch q.Engine {
	case sqlite:
	case broker:
		q.RabbitMQ.Validate(func(path, format string, args ...any) { bad("queue.rabbitmq."+path, format, args...) })
	default:
		bad("queue.engine", "unknown engine %q%s", q.Engine, strictyaml.Suggestion(q.Engine, []string{sqlite, broker}))
	}
}

// notYet reports whether the section is one that later versions have.
func notYet(section string) bool {
	switch section {
	case "logs", "herder":
		return true
	}
	return false
}
