package webhook

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/size"
	"github.com/colliehq/collie/webhook/proof"
	"github.com/colliehq/collie/webhook/sender"
)

// Config is the section "webhooks" of the configuration file.
type Config struct {
	// ListenAddress is where deliveries arrive, apart from everything else that
	// Collie serves. Empty means DefaultAddress if there are hooks, and nowhere
	// without.
	ListenAddress string `yaml:"listen_address"`
	// WebConfigFile has the certificate, in exporter-toolkit's format.
	WebConfigFile string `yaml:"web_config_file"`
	Hooks         []Hook `yaml:"hooks"`
	Limits        Limits `yaml:"limits"`
}

// DefaultAddress is of this machine only, until somebody says otherwise.
const DefaultAddress = "127.0.0.1:9798"

// Hook is one address that somebody posts to: /hook/NAME.
type Hook struct {
	Name   string `yaml:"name"`
	Sender string `yaml:"sender"`

	SecretFiles   []string `yaml:"secret_files"` // several are active at once, for rotation
	Username      string   `yaml:"username"`     // of basic authentication
	PasswordFiles []string `yaml:"password_files"`
	TokenFiles    []string `yaml:"token_files"` // of bearer authentication
	Insecure      bool     `yaml:"insecure"`    // takes what anybody posts

	Header          string        `yaml:"header"`
	Prefix          string        `yaml:"prefix"`
	Encoding        string        `yaml:"encoding"`
	Algorithm       string        `yaml:"algorithm"`
	TimestampHeader string        `yaml:"timestamp_header"`
	Window          time.Duration `yaml:"window"`
	KeyHeader       string        `yaml:"key_header"`
	KeepHeaders     []string      `yaml:"keep_headers"`

	Receiver string         `yaml:"receiver"` // who is told of its alerts; empty means the name
	Mapping  sender.Mapping `yaml:"mapping"`
	MaxBody  size.Bytes     `yaml:"max_body"`
	Silence  time.Duration  `yaml:"silence"` // longest time without a delivery; 0 means any
	Hold     bool           `yaml:"hold"`    // park every delivery for a person
}

// Limits bound what those who post can make us hold.
type Limits struct {
	Connections int           `yaml:"connections"`
	Requests    int           `yaml:"requests"` // that are worked on at once
	Memory      size.Bytes    `yaml:"memory"`   // of bodies that are being read or written
	ReadTimeout time.Duration `yaml:"read_timeout"`
	Waiting     int           `yaml:"waiting"` // deliveries in the spool
}

// defaultBody is the largest body of senders that say nothing else.
const defaultBody = 1 << 20

// Default is what holds where the file says nothing: no hook.
func Default() Config {
	return Config{Limits: Limits{Connections: 2048, Requests: 256, Memory: 48 << 20, ReadTimeout: 10 * time.Second, Waiting: 1_000_000}}
}

// SetDefaults fills in what a hook leaves out; the decoder calls it.
func (h *Hook) SetDefaults() { *h = Hook{Window: 5 * time.Minute} }

// address is where to listen, empty for nowhere.
func (c Config) address() string {
	if c.ListenAddress == "" && len(c.Hooks) > 0 {
		return DefaultAddress
	}
	return c.ListenAddress
}

// Receivers are who may be told of alerts by these hooks, beside whom
// Alertmanagers and Grafanas name themselves.
func (c Config) Receivers() (names []string) {
	for _, h := range c.Hooks {
		names = append(names, h.receiver())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NamesReceivers reports whether there is a hook whose sender names receivers
// that nothing here knows.
func (c Config) NamesReceivers() bool {
	return slices.ContainsFunc(c.Hooks, func(h Hook) bool { return h.Sender == "alertmanager" || h.Sender == "grafana" })
}

func (h Hook) receiver() string {
	if h.Receiver != "" {
		return h.Receiver
	}
	return h.Name
}

// maxBody is the largest body of the hook.
func (h Hook) maxBody() int64 {
	if h.MaxBody > 0 {
		return int64(h.MaxBody)
	}
	s, _ := sender.Named(h.Sender)
	return max(defaultBody, s.MaxBody)
}

// Validate reports every mistake through bad, by the path of the key.
func (c Config) Validate(bad func(path, format string, args ...any)) {
	if a := c.ListenAddress; a != "" {
		if _, _, err := net.SplitHostPort(a); err != nil {
			bad("listen_address", "%q is not an address such as 127.0.0.1:9798 or :9798", a)
		}
	}
	if c.WebConfigFile != "" {
		if _, err := loadTLS(c.WebConfigFile); err != nil {
			bad("web_config_file", "%v", err)
		}
	}
	c.Limits.validate(func(path, format string, args ...any) { bad("limits."+path, format, args...) })
	seen := map[string]bool{}
	for i, h := range c.Hooks {
		below := func(path, format string, args ...any) { bad(fmt.Sprintf("hooks[%d].%s", i, path), format, args...) }
		if seen[h.Name] {
			below("name", "%q is the name of an earlier hook", h.Name)
		}
		seen[h.Name] = true
		h.validate(below)
		if h.maxBody() > int64(c.Limits.Memory) {
			below("max_body", "%s is more than limits.memory, so that no such delivery would ever be taken", size.Bytes(h.maxBody()))
		}
	}
}

func (l Limits) validate(bad func(path, format string, args ...any)) {
	for path, n := range map[string]int{"connections": l.Connections, "requests": l.Requests, "waiting": l.Waiting} {
		if n < 1 {
			bad(path, "%d is less than 1", n)
		}
	}
	if l.Memory < 1<<20 {
		bad("memory", "%s is less than 1MB", l.Memory)
	}
	if l.ReadTimeout < time.Second || l.ReadTimeout > 5*time.Minute {
		bad("read_timeout", "%v is not between 1s and 5m", l.ReadTimeout)
	}
}

var hookName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (h Hook) validate(bad func(path, format string, args ...any)) {
	if !hookName.MatchString(h.Name) {
		bad("name", "%q is no name of a hook: letters, digits, dots and dashes, at most 63; it is posted to as /hook/NAME", h.Name)
	}
	s, known := sender.Named(h.Sender)
	if !known {
		bad("sender", "%q is none of %s", h.Sender, strings.Join(sender.Names(), ", "))
		return
	}
	h.validateUse(s, bad)
	h.validateProof(s, bad)
	h.validateHeaders(bad)
	if text := h.Mapping.Bad(); text != "" {
		bad("mapping", "%s", text)
	}
	if h.Silence < 0 || h.Silence > 0 && h.Silence < time.Minute {
		bad("silence", "%v is less than 1m", h.Silence)
	}
	if h.MaxBody < 0 || h.MaxBody > 0 && h.MaxBody < 1024 {
		bad("max_body", "%s is less than 1KB", h.MaxBody)
	}
}

// validateUse refuses keys that mean nothing to this sender: who writes them
// expects something of them.
func (h Hook) validateUse(s sender.Sender, bad func(path, format string, args ...any)) {
	for key, given := range map[string]bool{
		"secret_files": len(h.SecretFiles) > 0, "header": h.Header != "", "prefix": h.Prefix != "", "encoding": h.Encoding != "",
		"algorithm": h.Algorithm != "", "timestamp_header": h.TimestampHeader != "", "key_header": h.KeyHeader != "",
		"keep_headers": len(h.KeepHeaders) > 0, "mapping": !h.Mapping.Empty(),
	} {
		if given && !slices.Contains(s.Uses, key) {
			bad(key, "means nothing to the sender %s", s.Name)
		}
	}
	if h.Window < time.Second || h.Window > time.Hour {
		bad("window", "%v is not between 1s and 1h", h.Window)
	}
	if !slices.Contains([]string{"", proof.Hex, proof.Base64}, h.Encoding) {
		bad("encoding", "%q is neither hex nor base64", h.Encoding)
	}
	if !slices.Contains([]string{"", proof.SHA256, proof.SHA512}, h.Algorithm) {
		bad("algorithm", "%q is neither sha256 nor sha512", h.Algorithm)
	}
}

func (h Hook) validateProof(s sender.Sender, bad func(path, format string, args ...any)) {
	proofs := len(h.SecretFiles) + len(h.PasswordFiles) + len(h.TokenFiles)
	switch {
	case proofs == 0 && !h.Insecure:
		bad("sender", "anybody could post to this hook: give it %s, or say insecure: true", wanted(s))
	case proofs > 0 && h.Insecure:
		bad("insecure", "a hook that takes what anybody posts has no use for secrets; remove one of the two")
	}
	if (h.Username == "") != (len(h.PasswordFiles) == 0) {
		bad("username", "username and password_files belong together")
	}
	if _, err := h.settings(); err != nil {
		return // a file that cannot be read is told where files are read
	}
	if _, err := newHook(h); err != nil {
		bad("secret_files", "%v", err)
	}
}

func wanted(s sender.Sender) string {
	if slices.Contains(s.Uses, "secret_files") {
		return "secret_files"
	}
	return "token_files, or username and password_files"
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

func (h Hook) validateHeaders(bad func(path, format string, args ...any)) {
	for path, name := range map[string]string{"header": h.Header, "timestamp_header": h.TimestampHeader, "key_header": h.KeyHeader} {
		if name != "" && !headerName.MatchString(name) {
			bad(path, "%q is no name of a header", name)
		}
	}
	if len(h.KeepHeaders) > 16 {
		bad("keep_headers", "%d headers, more than 16", len(h.KeepHeaders))
	}
	for i, name := range h.KeepHeaders {
		path := fmt.Sprintf("keep_headers[%d]", i)
		switch {
		case !headerName.MatchString(name):
			bad(path, "%q is no name of a header", name)
		case sender.CarriesProof(name) || http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(h.signature()):
			bad(path, "%s carries a secret or a proof, which are not kept", name)
		}
	}
}

// signature is the header of a generic signature.
func (h Hook) signature() string {
	if h.Header != "" {
		return h.Header
	}
	return "X-Signature"
}
