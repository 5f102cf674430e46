package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/colliehq/collie/internal/secret"
)

// Config says which brokers there are and how to reach them.
type Config struct {
	// URLs of the nodes, amqp:// or amqps://. They are tried in random order.
	URLs []string `yaml:"urls"`
	// TLS of amqps:// and of an https:// management URL.
	TLS TLS `yaml:"tls"`
	// Username, and the file that holds its password.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// VHost is the virtual host.
	VHost string `yaml:"vhost"`
	// Prefix begins the name of every exchange and queue.
	Prefix string `yaml:"prefix"`
	// ManagementURL is the root of the management API. It is only needed to
	// compare the broker's topology with ours.
	ManagementURL string `yaml:"management_url"`
	// ConfirmTimeout is how long a confirm is waited for. After it the outcome
	// is unknown.
	ConfirmTimeout time.Duration `yaml:"confirm_timeout"`
	// DialTimeout bounds one attempt at one node.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// Heartbeat is how often each side shows that it lives; a connection that is
	// silent for three of them is dead.
	Heartbeat time.Duration `yaml:"heartbeat"`
}

// TLS of a connection.
type TLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// Default is a broker on this machine, as RabbitMQ is installed.
func Default() Config {
	return Config{
		URLs: []string{"amqp://localhost:5672"}, Username: "guest", VHost: "/", Prefix: "collie",
		ConfirmTimeout: 10 * time.Second, DialTimeout: 5 * time.Second, Heartbeat: 10 * time.Second,
	}
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Validate tells bad of every mistake.
func (c *Config) Validate(bad func(path, format string, args ...any)) {
	if len(c.URLs) == 0 {
		bad("urls", "name at least one node, such as amqp://rabbitmq.example.org:5672")
	}
	for i, raw := range c.URLs {
		c.validateURL(fmt.Sprintf("urls[%d]", i), raw, bad, "amqp", "amqps")
	}
	if c.ManagementURL != "" {
		c.validateURL("management_url", c.ManagementURL, bad, "http", "https")
	}
	if !prefixPattern.MatchString(c.Prefix) {
		bad("prefix", "%q: letters, digits and . _ - only, at most 63 of them", c.Prefix)
	}
	if c.VHost == "" {
		bad("vhost", "it is empty; RabbitMQ's first one is called /")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls", "cert_file and key_file go together")
	}
	for path, d := range map[string]time.Duration{
		"confirm_timeout": c.ConfirmTimeout, "dial_timeout": c.DialTimeout, "heartbeat": c.Heartbeat,
	} {
		if d < time.Second || d > 10*time.Minute {
			bad(path, "%s: between 1s and 10m", d)
		}
	}
}

func (c *Config) validateURL(path, raw string, bad func(path, format string, args ...any), schemes ...string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		bad(path, "not a URL")
	case u.Scheme != schemes[0] && u.Scheme != schemes[1]:
		bad(path, "the scheme is %s or %s", schemes[0], schemes[1])
	case u.Hostname() == "":
		bad(path, "it names no host")
	case u.User != nil:
		if _, has := u.User.Password(); has {
			bad(path, "a password does not belong into the configuration: use username and password_file")
		}
	case u.Path != "" && u.Path != "/":
		bad(path, "it has a path: the virtual host goes into vhost")
	}
}

// password reads the password at each use, so that it can be changed.
func (c *Config) password() (string, error) {
	if c.PasswordFile == "" {
		return "guest", nil
	}
	text, err := secret.Read(c.PasswordFile)
	if err != nil {
		return "", err
	}
	return text.Reveal(), nil
}

// config builds the TLS configuration, nil for the defaults of the system.
func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("tls.ca_file holds no certificate in PEM form")
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.cert_file and tls.key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
