package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3/api"
	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/strictyaml"
)

// connection is how a server is reached and who asks.
type connection struct {
	Endpoint         endpoint         `yaml:"endpoint" also:"url,address,host"`
	Region           string           `yaml:"region"`
	Addressing       addressing       `yaml:"addressing" also:"path_style,style"`
	AccessKeyFile    string           `yaml:"access_key_file" also:"access_key,access_key_id"`
	SecretKeyFile    string           `yaml:"secret_key_file" also:"secret_key,secret_access_key"`
	SessionTokenFile string           `yaml:"session_token_file" also:"session_token"`
	TLS              config.TLSConfig `yaml:"tls_config"`
}

// bucketOptions are a module's options under "s3".
type bucketOptions struct {
	connection `yaml:",inline"`

	Prefix          string        `yaml:"prefix"`
	Parallel        int           `yaml:"parallel" also:"concurrency,workers"`
	RequestsPerHour int           `yaml:"requests_per_hour" also:"budget"`
	ListEvery       time.Duration `yaml:"list_every" also:"interval,every"`
	Versions        choice        `yaml:"versions"`
	Uploads         bool          `yaml:"uploads"`
	MaxNewestAge    time.Duration `yaml:"max_newest_age"`
	MaxTotalAge     time.Duration `yaml:"max_total_age"`
	MaxSize         size          `yaml:"max_size"`
}

// canaryOptions are a module's options under "s3_canary".
type canaryOptions struct {
	connection `yaml:",inline"`

	Prefix string `yaml:"prefix"`
	Size   size   `yaml:"size"`
}

// The defaults.
const (
	defaultRegion   = "us-east-1"
	defaultParallel = 16
	defaultRequests = 10_000
	defaultEvery    = time.Hour
	canaryPrefix    = ".collie-canary/"
	canarySize      = 1 << 10
	mostParallel    = 64
	largestCanary   = 1 << 20
)

// bucket is an "s3" module, ready to probe.
type bucket struct {
	s3 *S3
	o  bucketOptions
}

func (x *S3) buildBucket(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	b := &bucket{s3: x, o: bucketOptions{
		connection: connection{Region: defaultRegion}, Parallel: defaultParallel, RequestsPerHour: defaultRequests,
		ListEvery: defaultEvery, Uploads: true, Versions: "auto",
	}}
	v := decode(node, &b.o, bad)
	b.o.validate(v)
	v.between("parallel", b.o.Parallel, 1, mostParallel)
	v.between("requests_per_hour", b.o.RequestsPerHour, 1, 100_000_000)
	if b.o.ListEvery < time.Second {
		v.mistake("list_every", "%s is too short; at least 1s is needed", strictyaml.FormatDuration(b.o.ListEvery))
	}
	return b.probe
}

func (x *S3) buildCanary(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	c := &canary{s3: x, o: canaryOptions{connection: connection{Region: defaultRegion}, Prefix: canaryPrefix, Size: canarySize}}
	v := decode(node, &c.o, bad)
	c.o.validate(v)
	v.between("size", int(c.o.Size), 1, largestCanary)
	if !strings.HasSuffix(c.o.Prefix, "/") || len(c.o.Prefix) < 2 {
		v.mistake("prefix", "%q is no place of one's own: it has to end in a slash, and what is below it is deleted", c.o.Prefix)
	}
	return c.probe
}

// validator tells of mistakes with their lines.
type validator struct {
	lines strictyaml.Lines
	bad   func(line int, format string, args ...any)
}

func decode(node *yaml.Node, into any, bad func(line int, format string, args ...any)) validator {
	strictyaml.Decode(node, into, func(line int, path, message string) {
		if path != "" {
			message = path + ": " + message
		}
		bad(line, "%s", message)
	})
	return validator{strictyaml.LinesOf(node), bad}
}

func (v validator) mistake(path, format string, args ...any) {
	v.bad(v.lines.Of(path), "%s: %s", path, fmt.Sprintf(format, args...))
}

func (v validator) between(path string, n, low, high int) {
	if n < low || n > high {
		v.mistake(path, "%d is not between %d and %d", n, low, high)
	}
}

// validate tells what is wrong with a connection. That the endpoint is missing
// is told when somebody probes: the built-in modules have none.
func (c *connection) validate(v validator) {
	if (c.AccessKeyFile == "") != (c.SecretKeyFile == "") {
		v.mistake("access_key_file", "access_key_file and secret_key_file are needed both, or neither for a bucket that everybody may read")
	}
	if c.SessionTokenFile != "" && c.AccessKeyFile == "" {
		v.mistake("session_token_file", "a session token belongs to an access key: access_key_file is missing")
	}
	if c.AccessKeyFile != "" && c.Endpoint.URL == nil {
		v.mistake("endpoint", "is missing: the credentials are for one server only")
	}
	if err := c.TLS.Validate(); err != nil {
		v.mistake("tls_config", "%s", err.Error())
	}
}

// credentials reads the files: they are replaced while Collie runs.
func (c *connection) credentials() (found api.Credentials, err error) {
	for _, one := range []struct {
		file string
		into *string
	}{{c.AccessKeyFile, &found.AccessKey}, {c.SecretKeyFile, &found.SecretKey}, {c.SessionTokenFile, &found.SessionToken}} {
		if one.file == "" {
			continue
		}
		text, err := secret.Read(one.file)
		if err != nil {
			return api.Credentials{}, err
		}
		*one.into = strings.TrimSpace(text.Reveal())
	}
	return found, nil
}

// place is the server and the bucket that a target means: the name of a bucket,
// or ENDPOINT/BUCKET where the module has no endpoint of its own.
func (c *connection) place(target string) (at *url.URL, bucketName string, err error) {
	at, bucketName = c.Endpoint.URL, target
	if at == nil {
		given, err := url.Parse(target)
		if err != nil || given.Host == "" || given.Scheme != "http" && given.Scheme != "https" {
			return nil, "", errors.New("the module has no endpoint: set it (endpoint: https://s3.example.org), or probe https://SERVER/BUCKET")
		}
		at = &url.URL{Scheme: given.Scheme, Host: given.Host}
		bucketName = strings.Trim(given.Path, "/")
	}
	if bucketName == "" || strings.ContainsAny(bucketName, "/?#%\\ ") || len(bucketName) > 255 || bucketName == "." || bucketName == ".." {
		return nil, "", fmt.Errorf("%q is not the name of a bucket", bucketName)
	}
	return at, bucketName, nil
}

// virtual tells whether the bucket is to stand in the host name.
func (c *connection) virtual(at *url.URL, bucketName string) bool {
	switch c.Addressing {
	case "path":
		return false
	case "virtual":
		return true
	}
	return strings.HasSuffix(at.Hostname(), ".amazonaws.com") && !strings.Contains(bucketName, ".")
}

// key names what is counted, for as long as it is counted in the same way.
func (b *bucket) key(target string) string {
	at := ""
	if b.o.Endpoint.URL != nil {
		at = b.o.Endpoint.String()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{at, target, b.o.Prefix, b.o.AccessKeyFile, string(b.o.Versions), strconv.FormatBool(b.o.Uploads)}, "\x00")))
	return "s3/" + hex.EncodeToString(sum[:12])
}

// endpoint is the address of a server.
type endpoint struct{ *url.URL }

// UnmarshalText reads an address; without a scheme it is https.
func (e *endpoint) UnmarshalText(text []byte) error {
	s := string(text)
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return fmt.Errorf("%q is not the address of a server; write it like https://s3.example.org", secret.URLs(string(text)))
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%s is neither http nor https", u.Scheme)
	case u.User != nil:
		return errors.New("credentials do not belong into the address: use access_key_file and secret_key_file")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("the address of a server has no ? and no #")
	}
	e.URL = u
	return nil
}

// addressing is where the name of the bucket stands.
type addressing string

// UnmarshalText reads it.
func (a *addressing) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case "", "auto", "path", "virtual":
		*a = addressing(v)
		return nil
	default:
		return fmt.Errorf("%q is none of auto, path (https://SERVER/BUCKET) and virtual (https://BUCKET.SERVER)", v)
	}
}

// choice is auto, true or false.
type choice string

// UnmarshalText reads it.
func (c *choice) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case "auto", "true", "false":
		*c = choice(v)
		return nil
	default:
		return fmt.Errorf("%q is none of auto, true and false", v)
	}
}

// size is a number of bytes, written as digits or with a unit. MB and MiB mean
// the same 1,048,576 bytes, as everywhere in Prometheus.
type size int64

// UnmarshalText reads a size.
func (s *size) UnmarshalText(text []byte) error {
	if v, err := strconv.ParseUint(string(text), 10, 62); err == nil {
		*s = size(v)
		return nil
	}
	v, err := units.ParseBase2Bytes(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a number of bytes; write it like 500MB or 20GB", text)
	}
	*s = size(v)
	return nil
}
