package ledger

import (
	"time"

	"github.com/colliehq/collie/internal/strictyaml"
)

const day = 24 * time.Hour

// Config is the part of the configuration file that the ledger owns.
type Config struct {
	// Retention is how long intervals are kept; what still lasts is always kept.
	Retention time.Duration `yaml:"retention"`
	// JournalRetention is how long the signals themselves are kept.
	JournalRetention time.Duration `yaml:"journal_retention"`
}

// Default is what holds where the file says nothing.
func Default() Config {
	return Config{Retention: 400 * day, JournalRetention: 90 * day}
}

// Validate reports every mistake through bad, by the path of the key.
func (c Config) Validate(bad func(path, format string, args ...any)) {
	if c.Retention < day {
		bad("retention", "%s is shorter than a day; the downtimes of a month need 31d at least", strictyaml.FormatDuration(c.Retention))
	}
	if c.JournalRetention < day {
		bad("journal_retention", "%s is shorter than a day, less than a restart after a night needs", strictyaml.FormatDuration(c.JournalRetention))
	}
}
