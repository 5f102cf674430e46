package host

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// tlsOptions are what a module says under tls_config.
type tlsOptions struct {
	CA                 string     `yaml:"ca"`
	CAFile             string     `yaml:"ca_file"`
	Cert               string     `yaml:"cert"`
	CertFile           string     `yaml:"cert_file"`
	Key                string     `yaml:"key"`
	KeyFile            string     `yaml:"key_file"`
	ServerName         string     `yaml:"server_name"`
	InsecureSkipVerify bool       `yaml:"insecure_skip_verify"`
	MinVersion         tlsVersion `yaml:"min_version"`
	MaxVersion         tlsVersion `yaml:"max_version"`
}

// tlsVersion is a version as crypto/tls numbers it; 0 means Go's default.
type tlsVersion uint16

func (v *tlsVersion) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*v = 0
	case "TLS10":
		*v = tls.VersionTLS10
	case "TLS11":
		*v = tls.VersionTLS11
	case "TLS12":
		*v = tls.VersionTLS12
	case "TLS13":
		*v = tls.VersionTLS13
	default:
		return fmt.Errorf("%q is not a TLS version; it can be TLS10, TLS11, TLS12, TLS13", text)
	}
	return nil
}

func (t tlsOptions) validate(o *options) {
	const at = "tls_config."
	o.exclusive(at, map[string]bool{"ca": t.CA != "", "ca_file": t.CAFile != ""}, "ca", "ca_file")
	o.exclusive(at, map[string]bool{"cert": t.Cert != "", "cert_file": t.CertFile != ""}, "cert", "cert_file")
	o.exclusive(at, map[string]bool{"key": t.Key != "", "key_file": t.KeyFile != ""}, "key", "key_file")
	cert, key := t.Cert+t.CertFile != "", t.Key+t.KeyFile != ""
	if cert != key {
		o.mistake("tls_config", "a client certificate needs both its certificate and its key: cert_file and key_file")
	}
	if t.MinVersion != 0 && t.MaxVersion != 0 && t.MinVersion > t.MaxVersion {
		o.mistake(at+"min_version", "is above max_version")
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		o.mistake(at+"ca", "holds no certificate in PEM form")
	}
}

// tlsMaker makes the configuration of each handshake. It parses certificates
// again only when one of their files has changed.
type tlsMaker struct {
	options tlsOptions

	mu     sync.Mutex
	stamps map[string]fileStamp
	base   *tls.Config
}

// config is the configuration for a handshake with the server. Named says that
// the server_name of the options, if there is one, is meant for it.
func (t *tlsMaker) config(server string, named bool, protocols ...string) (*tls.Config, error) {
	base, err := t.current()
	if err != nil {
		return nil, err
	}
	c := base.Clone()
	if !named || c.ServerName == "" {
		c.ServerName = server
	}
	c.NextProtos = protocols
	return c, nil
}

func (t *tlsMaker) current() (*tls.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := t.base == nil
	if !fresh && t.options.CAFile+t.options.CertFile+t.options.KeyFile == "" {
		return t.base, nil
	}
	stamps := map[string]fileStamp{}
	for _, path := range []string{t.options.CAFile, t.options.CertFile, t.options.KeyFile} {
		if path == "" {
			continue
		}
		stamp, err := stampOf(path)
		if err != nil {
			return nil, err
		}
		stamps[path] = stamp
		fresh = fresh || t.stamps[path] != stamp
	}
	if !fresh {
		return t.base, nil
	}
	base, err := t.options.load()
	if err != nil {
		return nil, err
	}
	t.base, t.stamps = base, stamps
	return base, nil
}

func (t tlsOptions) load() (*tls.Config, error) {
	c := &tls.Config{
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // what the user asks for, to look at servers with certificates of their own
		MinVersion:         uint16(t.MinVersion),
		MaxVersion:         uint16(t.MaxVersion),
	}
	ca, err := textOrFile(t.CA, t.CAFile)
	if err != nil {
		return nil, err
	}
	if len(ca) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca_file " + t.CAFile + " holds no certificate in PEM form")
		}
	}
	cert, err := textOrFile(t.Cert, t.CertFile)
	if err != nil || len(cert) == 0 {
		return c, err
	}
	key, err := textOrFile(t.Key, t.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func textOrFile(text, path string) ([]byte, error) {
	if path == "" {
		return []byte(strings.TrimSpace(text)), nil
	}
	return os.ReadFile(path)
}
