package ircbot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/ircbot/link"
)

// Config is the part of the configuration file that the bot owns: a list of
// networks.
type Config []Network

// Network is one IRC network, and who is told what on it.
type Network struct {
	Name     string             `yaml:"name"`
	Servers  []string           `yaml:"servers"` // host:port, tried in turn
	Nick     string             `yaml:"nick"`
	User     string             `yaml:"user"` // default: the nick
	RealName string             `yaml:"realname"`
	TLS      TLS                `yaml:"tls"`
	SASL     SASL               `yaml:"sasl"`
	Channels map[string]Channel `yaml:"channels"`
	Colors   bool               `yaml:"colors" also:"colours"`
	Commands bool               `yaml:"commands"` // answer !status and the others
	// HeartbeatChannel is told the dead man's switch; empty: the bot itself.
	HeartbeatChannel string    `yaml:"heartbeat_channel"`
	PasswordFile     string    `yaml:"password_file"` // of the server, rarely needed
	Rate             Rate      `yaml:"rate"`
	Reconnect        Reconnect `yaml:"reconnect"`
	Spool            SpoolSize `yaml:"spool"`
}

// Channel is who is told in a channel.
type Channel struct {
	Receivers []string `yaml:"receivers"` // names of Alertmanager's receivers
	KeyFile   string   `yaml:"key_file"`  // of a channel with a key
	Notice    bool     `yaml:"notice"`    // NOTICE instead of PRIVMSG
}

// TLS says how the connection is secured.
type TLS struct {
	// Enabled; not set means: for servers whose port is 6697.
	Enabled    *bool  `yaml:"enabled"`
	ServerName string `yaml:"server_name"`
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
}

// SASL logs us in to an account, by PLAIN.
type SASL struct {
	Account      string `yaml:"account"`
	PasswordFile string `yaml:"password_file"`
	Required     bool   `yaml:"required"` // do not join without it; the default
}

// Rate is how much may be said: what servers allow before they throw us out.
type Rate struct {
	Burst int           `yaml:"burst"`
	Every time.Duration `yaml:"every"`
}

// Reconnect says how long to wait before connecting again.
type Reconnect struct {
	Floor time.Duration `yaml:"min" also:"floor"`
	Max   time.Duration `yaml:"max"`
}

// SpoolSize bounds what waits while a network cannot be reached.
type SpoolSize struct {
	MaxBytes int           `yaml:"max_bytes"`
	MaxAge   time.Duration `yaml:"max_age"`
}

const (
	tlsPort      = "6697"
	longestName  = 64
	longestLabel = 32
)

// Default is what holds where the file says nothing: no network.
func Default() Config { return nil }

// SetDefaults fills in what a network leaves out; the decoder calls it.
func (n *Network) SetDefaults() {
	*n = Network{
		Nick: "collie", RealName: "Collie watches; !help says what it answers", Commands: true,
		SASL:      SASL{Required: true},
		Rate:      Rate{Burst: 4, Every: 1100 * time.Millisecond},
		Reconnect: Reconnect{Floor: 20 * time.Second, Max: 5 * time.Minute},
		Spool:     SpoolSize{MaxBytes: 16 << 20, MaxAge: 72 * time.Hour},
	}
}

// Validate reports every mistake through bad, by the path of the key.
func (c Config) Validate(bad func(path, format string, args ...any)) {
	seen := map[string]bool{}
	for i, n := range c {
		below := func(path, format string, args ...any) { bad(fmt.Sprintf("[%d].%s", i, path), format, args...) }
		n.validate(below)
		if seen[n.Name] {
			below("name", "%q is the name of an earlier network", n.Name)
		}
		seen[n.Name] = true
	}
}

func (n Network) validate(bad func(path, format string, args ...any)) {
	if n.Name == "" || len(n.Name) > longestLabel || !plain(n.Name) {
		bad("name", "a network needs a name of letters, digits, dots and dashes, such as libera")
	}
	if len(n.Servers) == 0 {
		bad("servers", "at least one server is needed, such as irc.example.org:6697")
	}
	for i, s := range n.Servers {
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			bad(fmt.Sprintf("servers[%d]", i), "%q is not host:port, such as irc.example.org:6697", s)
		}
	}
	if !validNick(n.Nick) {
		bad("nick", "%q is not a nick: letters, digits and _-[]\\^{}|`, no digit or dash in front", n.Nick)
	}
	if n.User != "" && (!validNick(n.User) || len(n.User) > 18) {
		bad("user", "%q is not a user name", n.User)
	}
	if strings.ContainsFunc(n.RealName, func(r rune) bool { return r < ' ' }) {
		bad("realname", "control characters cannot be sent")
	}
	n.validateSecrets(bad)
	n.validateChannels(bad)
	n.validateLimits(bad)
}

func (n Network) validateSecrets(bad func(path, format string, args ...any)) {
	file := func(path, name string) (secret.Text, bool) {
		if name == "" {
			return secret.Text{}, false
		}
		text, err := secret.Read(name)
		if err != nil {
			bad(path, "%v", err)
		} else if strings.ContainsAny(text.Reveal(), "\r\n\x00") {
			bad(path, "the secret in %s has several lines", name)
		}
		return text, err == nil
	}
	file("password_file", n.PasswordFile)
	password, ok := file("sasl.password_file", n.SASL.PasswordFile)
	switch {
	case n.SASL.Account == "" && n.SASL.PasswordFile != "":
		bad("sasl.account", "a password without an account")
	case n.SASL.Account != "" && n.SASL.PasswordFile == "":
		bad("sasl.password_file", "the account %s needs a password", n.SASL.Account)
	case ok && 2*len(n.SASL.Account)+len(password.Reveal()) > link.MaxSASL:
		bad("sasl.password_file", "account and password are too long: twice the account and the password may have %d bytes", link.MaxSASL)
	}
	if _, err := n.TLS.config(""); err != nil {
		bad("tls", "%v", err)
	}
	for name, c := range n.Channels {
		if key, ok := file("channels."+name+".key_file", c.KeyFile); ok && strings.ContainsAny(key.Reveal(), " ,") {
			bad("channels."+name+".key_file", "a key of a channel has no spaces and commas")
		}
	}
}

func (n Network) validateChannels(bad func(path, format string, args ...any)) {
	for name := range n.Channels {
		if !validChannel(name) {
			bad("channels."+name, "%q is not a channel: it begins with #, and has no spaces and commas", name)
		}
	}
	if n.HeartbeatChannel != "" && !validChannel(n.HeartbeatChannel) {
		bad("heartbeat_channel", "%q is not a channel: it begins with #, and has no spaces and commas", n.HeartbeatChannel)
	}
	if c, people := n.Channels[n.HeartbeatChannel]; people && len(c.Receivers) > 0 {
		bad("heartbeat_channel", "%s is a channel for people; give the heartbeat one of its own, or leave it out", n.HeartbeatChannel)
	}
}

func (n Network) validateLimits(bad func(path, format string, args ...any)) {
	if n.Rate.Burst < 1 || n.Rate.Burst > 20 {
		bad("rate.burst", "%d is not between 1 and 20 lines", n.Rate.Burst)
	}
	if n.Rate.Every < 10*time.Millisecond || n.Rate.Every > time.Minute {
		bad("rate.every", "%v is not between 10ms and 1m", n.Rate.Every)
	}
	if n.Reconnect.Floor <= 0 || n.Reconnect.Max < n.Reconnect.Floor {
		bad("reconnect", "max must not be shorter than min, and min be above 0")
	}
	if n.Spool.MaxBytes < 64<<10 {
		bad("spool.max_bytes", "%d is less than 65536, too little for an evening", n.Spool.MaxBytes)
	}
	if n.Spool.MaxAge < time.Minute {
		bad("spool.max_age", "%v is less than 1m", n.Spool.MaxAge)
	}
}

func plain(s string) bool {
	return only(s, "._-")
}

// only reports whether s is of letters, digits and the others.
func only(s, others string) bool {
	allowed := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(others, r)
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !allowed(r) })
}

func validNick(s string) bool {
	if s == "" || len(s) > 30 || strings.ContainsRune("0123456789-", rune(s[0])) {
		return false
	}
	return only(s, "_-[]\\^{}|`")
}

func validChannel(s string) bool {
	return len(s) > 1 && len(s) <= longestName && strings.ContainsRune("#&+!", rune(s[0])) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f || r == ':' })
}

// config is how the server is to be spoken to; nil without TLS.
func (t TLS) config(server string) (*tls.Config, error) {
	host, port, _ := net.SplitHostPort(server)
	if t.Enabled != nil && !*t.Enabled || t.Enabled == nil && server != "" && port != tlsPort {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no PEM certificate", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("cert_file and key_file belong together")
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// told are the channels that are told what a receiver is.
func (n Network) told(receiver string) (channels []string) {
	for name, c := range n.Channels {
		if slices.Contains(c.Receivers, receiver) {
			channels = append(channels, name)
		}
	}
	slices.Sort(channels)
	return channels
}

// Receivers are the names of all receivers that are told on IRC.
func (c Config) Receivers() (names []string) {
	for _, n := range c {
		for _, ch := range n.Channels {
			names = append(names, ch.Receivers...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
