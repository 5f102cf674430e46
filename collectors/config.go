package collectors

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/colliehq/collie/collectors/file"
	"github.com/colliehq/collie/collectors/loki"
)

// Config is the section "logs" of the configuration file.
type Config struct {
	Sources []Source `yaml:"sources"`
	Loki    Loki     `yaml:"loki"`
	// MaxLine is the longest line in bytes; a longer one is split and marked. As
	// each byte that is not UTF-8 becomes three, a third of Loki's own limit of
	// 256 KiB never exceeds it.
	MaxLine int `yaml:"max_line"`
	// TornAfter is how long the last line of a file waits for its end, before it
	// is sent as it is, marked.
	TornAfter time.Duration `yaml:"torn_after"`
	// Poll is how often files are looked at.
	Poll time.Duration `yaml:"poll"`
	// Keep is how long a file that is gone is remembered.
	Keep time.Duration `yaml:"keep"`
}

// Source is where lines come from.
type Source struct {
	Files   string            `yaml:"files"`   // a glob; ** is any number of folders
	Exclude []string          `yaml:"exclude"` // globs of the same form
	NFS     bool              `yaml:"nfs"`     // a directory shared with other machines
	Labels  map[string]string `yaml:"labels"`
}

// Loki is where lines go.
type Loki struct {
	URL             string        `yaml:"url"`
	Tenant          string        `yaml:"tenant"`
	Username        string        `yaml:"username"` // of basic authentication, at a gateway
	PasswordFile    string        `yaml:"password_file"`
	BearerTokenFile string        `yaml:"bearer_token_file"`
	Timeout         time.Duration `yaml:"timeout"` // of one push
	BatchBytes      int           `yaml:"batch_bytes"`
}

const (
	maxLineLimit = 256 << 10 // Loki's max_line_size
	minBatch     = 2 * maxLineLimit
	maxBatch     = 16 << 20
	readSize     = 512 << 10 // of one file in one batch
)

// Default is what holds where the file says nothing: no source.
func Default() Config {
	return Config{
		Loki:    Loki{Timeout: 30 * time.Second, BatchBytes: 1 << 20},
		MaxLine: 80 << 10, TornAfter: 10 * time.Second, Poll: 250 * time.Millisecond, Keep: 7 * 24 * time.Hour,
	}
}

// Validate reports every mistake through bad, by the path of the key.
func (c Config) Validate(bad func(path, format string, args ...any)) {
	for i, s := range c.Sources {
		s.validate(func(path, format string, args ...any) { bad(index("sources", i)+"."+path, format, args...) })
	}
	if len(c.Sources) > 0 || c.Loki.URL != "" {
		c.Loki.validate(func(path, format string, args ...any) { bad("loki."+path, format, args...) })
	}
	if c.MaxLine < 1024 || c.MaxLine > maxLineLimit {
		bad("max_line", "must be from 1024 to %d bytes: Loki takes no longer lines", maxLineLimit)
	}
	for path, d := range map[string]time.Duration{"torn_after": c.TornAfter, "keep": c.Keep} {
		if d <= 0 {
			bad(path, "must be more than 0")
		}
	}
	if c.Poll < 10*time.Millisecond {
		bad("poll", "must be at least 10ms")
	}
}

func (s Source) validate(bad func(path, format string, args ...any)) {
	switch {
	case s.Files == "":
		bad("files", "is missing: give a glob, such as /var/log/*.log")
	case !filepath.IsAbs(s.Files):
		bad("files", "must be an absolute path, such as /var/log/*.log")
	default:
		if err := file.ValidGlob(s.Files); err != nil {
			bad("files", "%v", err)
		}
	}
	for i, g := range s.Exclude {
		if err := file.ValidGlob(g); err != nil {
			bad(index("exclude", i), "%v", err)
		}
	}
	for name := range s.Labels {
		if !loki.ValidName(name) {
			bad("labels", "%q is no name of a label: letters, digits and _", name)
		}
	}
	if len(s.Labels)+len(ownLabels) > loki.MaxLabels {
		bad("labels", "are too many: Loki takes %d for a stream, of which %d are ours", loki.MaxLabels, len(ownLabels))
	}
}

func (l Loki) validate(bad func(path, format string, args ...any)) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		bad("url", "must be the address of Loki, such as http://loki:3100")
	}
	if strings.ContainsAny(l.Tenant, "\r\n/\\") {
		bad("tenant", "must not hold slashes or line ends")
	}
	if (l.Username == "") != (l.PasswordFile == "") {
		bad("password_file", "username and password_file go together")
	}
	if l.Username != "" && l.BearerTokenFile != "" {
		bad("bearer_token_file", "is one way to prove who we are, username another: use one")
	}
	if l.Timeout <= 0 {
		bad("timeout", "must be more than 0")
	}
	if l.BatchBytes < minBatch || l.BatchBytes > maxBatch {
		bad("batch_bytes", "must be from %d to %d", minBatch, maxBatch)
	}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
