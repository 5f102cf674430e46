package webhook

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// loadTLS reads the certificate of an exporter-toolkit file. The toolkit's own
// server reads that file anew for every request, which is too slow for what
// faces the internet; and users and rate limits belong to the hooks here.
func loadTLS(file string) (*tls.Config, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// The toolkit's own defaults, as far as they mean something.
	c := web.Config{TLSConfig: web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(c.Users) > 0 || c.RateLimiterConfig.Interval != 0 || len(c.HTTPConfig.Header) > 0 {
		return nil, fmt.Errorf("%s: only tls_server_config counts here; passwords are said per hook, with username and password_files", file)
	}
	c.TLSConfig.SetDirectory(filepath.Dir(file))
	config, err := web.ConfigToTLSConfig(&c.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	config.NextProtos = []string{"http/1.1"}
	return config, nil
}

// certificateAge is how long a certificate is used before its file is read
// again, so that a renewed one needs no reload.
const certificateAge = 10 * time.Second

// renewing hands out the TLS configuration of a file.
type renewing struct {
	file string
	log  *slog.Logger

	mu     sync.Mutex
	config *tls.Config
	read   time.Time
}

func newRenewing(file string, log *slog.Logger) (*renewing, error) {
	config, err := loadTLS(file)
	if err != nil {
		return nil, err
	}
	return &renewing{file: file, log: log, config: config, read: time.Now()}, nil
}

// server is the configuration of a listener.
func (r *renewing) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current(), nil },
	}
}

func (r *renewing) current() *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.read) < certificateAge {
		return r.config
	}
	r.read = time.Now()
	next, err := loadTLS(r.file)
	if err != nil {
		r.log.Error("certificate cannot be read again, the old one stays", "err", err)
		return r.config
	}
	r.config = next
	return r.config
}
