package host

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

// httpOptions are what a module says under http.
type httpOptions struct {
	ipOptions `yaml:",inline"`

	ValidStatusCodes  []int         `yaml:"valid_status_codes"`
	ValidHTTPVersions []string      `yaml:"valid_http_versions"`
	Method            string        `yaml:"method"`
	FollowRedirects   bool          `yaml:"follow_redirects"`
	NoFollowRedirects *bool         `yaml:"no_follow_redirects"`
	FailIfSSL         bool          `yaml:"fail_if_ssl"`
	FailIfNotSSL      bool          `yaml:"fail_if_not_ssl"`
	EnableHTTP2       bool          `yaml:"enable_http2"`
	EnableHTTP3       noHTTP3       `yaml:"enable_http3"`
	Body              string        `yaml:"body"`
	BodyFile          string        `yaml:"body_file"`
	BodySizeLimit     byteSize      `yaml:"body_size_limit"`
	Compression       string        `yaml:"compression"`
	BodyMatches       []pattern     `yaml:"fail_if_body_matches_regexp"`
	BodyNotMatches    []pattern     `yaml:"fail_if_body_not_matches_regexp"`
	BodyMatchesCEL    noCEL         `yaml:"fail_if_body_json_matches_cel"`
	BodyNotMatchesCEL noCEL         `yaml:"fail_if_body_json_not_matches_cel"`
	HeaderMatches     []headerMatch `yaml:"fail_if_header_matches"`
	HeaderNotMatches  []headerMatch `yaml:"fail_if_header_not_matches"`

	Headers     map[string]string     `yaml:"headers"`
	HTTPHeaders map[string]httpHeader `yaml:"http_headers"`

	BasicAuth       *basicAuth     `yaml:"basic_auth"`
	Authorization   *authorization `yaml:"authorization"`
	BearerToken     string         `yaml:"bearer_token"`
	BearerTokenFile string         `yaml:"bearer_token_file"`
	OAuth2          noOAuth2       `yaml:"oauth2"`
	TLS             tlsOptions     `yaml:"tls_config"`

	ProxyURL             string              `yaml:"proxy_url"`
	NoProxy              string              `yaml:"no_proxy"`
	ProxyFromEnvironment bool                `yaml:"proxy_from_environment"`
	ProxyConnectHeader   map[string][]string `yaml:"proxy_connect_header"`
	SkipResolveWithProxy bool                `yaml:"skip_resolve_phase_with_proxy"`
}

type headerMatch struct {
	Header       string  `yaml:"header"`
	Regexp       pattern `yaml:"regexp"`
	AllowMissing bool    `yaml:"allow_missing"`
}

type httpHeader struct {
	Values  []string `yaml:"values"`
	Secrets []string `yaml:"secrets"`
	Files   []string `yaml:"files"`
}

type basicAuth struct {
	Username     string `yaml:"username"`
	UsernameFile string `yaml:"username_file"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

type authorization struct {
	Type            string `yaml:"type"`
	Credentials     string `yaml:"credentials"`
	CredentialsFile string `yaml:"credentials_file"`
}

type noCEL struct{}

func (noCEL) why() string {
	return "use fail_if_body_matches_regexp and fail_if_body_not_matches_regexp"
}

func (n *noCEL) DecodeYAML(node *yaml.Node, bad func(int, string, string)) { refuse(node, bad, n) }

type noOAuth2 struct{}

func (noOAuth2) why() string { return "use basic_auth or authorization" }

func (n *noOAuth2) DecodeYAML(node *yaml.Node, bad func(int, string, string)) { refuse(node, bad, n) }

// noHTTP3 may be false, which is what holds without it.
type noHTTP3 struct{}

func (noHTTP3) why() string { return "the probe speaks HTTP/1.1 and HTTP/2; leave it out" }

func (n *noHTTP3) DecodeYAML(node *yaml.Node, bad func(int, string, string)) {
	if node.Value != "false" {
		refuse(node, bad, n)
	}
}

func (h *httpOptions) validate(o *options) {
	h.validateRequest(o)
	h.validateAnswer(o)
	h.validateAuth(o)
	h.validateProxy(o)
	h.TLS.validate(o)
}

func (h *httpOptions) validateRequest(o *options) {
	if !httpguts.ValidHeaderFieldName(h.Method) { // a method is a token, as a header name is
		o.mistake("method", "%q is not an HTTP method", h.Method)
	}
	for name, value := range h.Headers {
		checkHeader(o, "headers."+name, name, value)
	}
	for name, header := range h.HTTPHeaders {
		at := "http_headers." + name
		if slices.Contains(reserved(), textproto.CanonicalMIMEHeaderKey(name)) {
			o.mistake(at, "%s cannot be set here; set it under headers, or by the option that it belongs to", name)
		}
		for _, value := range slices.Concat(header.Values, header.Secrets) {
			checkHeader(o, at, name, value)
		}
	}
	if h.Body != "" && h.BodyFile != "" {
		o.mistake("body_file", "only one of body and body_file can be set")
	}
}

func checkHeader(o *options, at, name, value string) {
	if !httpguts.ValidHeaderFieldName(name) {
		o.mistake(at, "%q is not the name of a header", name)
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		o.mistake(at, "the value has characters that a header cannot carry")
	}
}

// reserved are the headers that http_headers cannot set, as in the Prometheus
// libraries.
func reserved() []string {
	return []string{
		"Authorization", "Host", "Content-Encoding", "Content-Length", "Content-Type", "User-Agent", "Connection",
		"Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", "Accept-Encoding",
		"X-Prometheus-Remote-Write-Version", "X-Prometheus-Remote-Read-Version", "X-Prometheus-Scrape-Timeout-Seconds",
		"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
	}
}

func (h *httpOptions) validateAnswer(o *options) {
	for i, code := range h.ValidStatusCodes {
		if code < 100 || code > 999 {
			o.mistake(fmt.Sprintf("valid_status_codes[%d]", i), "%d is not an HTTP status", code)
		}
	}
	known := []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"}
	for i, version := range h.ValidHTTPVersions {
		if !slices.Contains(known, version) {
			o.mistake(fmt.Sprintf("valid_http_versions[%d]", i), "%q never matches; it can be %s", version, strings.Join(known, ", "))
		}
	}
	for name, rules := range map[string][]headerMatch{"fail_if_header_matches": h.HeaderMatches, "fail_if_header_not_matches": h.HeaderNotMatches} {
		for i, rule := range rules {
			if rule.Header == "" {
				o.mistake(fmt.Sprintf("%s[%d]", name, i), "header is missing: the name of the header to look at")
			}
			if rule.Regexp.Regexp == nil || rule.Regexp.String() == "" {
				o.mistake(fmt.Sprintf("%s[%d]", name, i), "regexp is missing: what the header is compared with")
			}
		}
	}
	h.validateCompression(o)
}

func (h *httpOptions) validateCompression(o *options) {
	switch strings.ToLower(h.Compression) {
	case "", "gzip", "deflate", "identity":
	case "br":
		o.mistake("compression", "br is an option of blackbox_exporter that Collie does not support; it can be gzip, deflate, identity")
		return
	default:
		o.mistake("compression", "%q is unknown; it can be gzip, deflate, identity", h.Compression)
		return
	}
	for name, value := range h.Headers {
		if textproto.CanonicalMIMEHeaderKey(name) == "Accept-Encoding" && !accepts(value, h.Compression) {
			o.mistake("headers."+name, "%q refuses the compression %s that is expected of the answer", value, h.Compression)
		}
	}
}

// accepts tells whether an Accept-Encoding header (RFC 9110, 12.5.3) lets the
// server use the encoding. As in blackbox_exporter the most preferred entry
// that fits decides, be it the encoding or *.
func accepts(header, encoding string) bool {
	if header == "" || encoding == "" {
		return true
	}
	best, found := 0.0, false
	for entry := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(entry, ";")
		name = strings.TrimSpace(name)
		if name != "*" && !strings.EqualFold(name, encoding) {
			continue
		}
		quality := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			quality, _ = strconv.ParseFloat(q, 64) // unreadable is 0: not accepted
		}
		best, found = max(best, quality), true
	}
	return found && best > 0
}

func (h *httpOptions) validateAuth(o *options) {
	set := map[string]bool{
		"basic_auth": h.BasicAuth != nil, "authorization": h.Authorization != nil,
		"bearer_token": h.BearerToken != "", "bearer_token_file": h.BearerTokenFile != "",
	}
	o.exclusive("", set, "basic_auth", "authorization", "bearer_token", "bearer_token_file")
	if b := h.BasicAuth; b != nil {
		o.exclusive("basic_auth.", map[string]bool{"username": b.Username != "", "username_file": b.UsernameFile != ""}, "username", "username_file")
		o.exclusive("basic_auth.", map[string]bool{"password": b.Password != "", "password_file": b.PasswordFile != ""}, "password", "password_file")
	}
	if a := h.Authorization; a != nil {
		o.exclusive("authorization.", map[string]bool{"credentials": a.Credentials != "", "credentials_file": a.CredentialsFile != ""},
			"credentials", "credentials_file")
		if strings.EqualFold(strings.TrimSpace(a.Type), "basic") {
			o.mistake("authorization.type", `cannot be "basic"; use basic_auth`)
		}
	}
}

func (h *httpOptions) validateProxy(o *options) {
	if _, err := parseProxy(h.ProxyURL); err != nil {
		o.mistake("proxy_url", "%s", err)
	}
	switch {
	case h.ProxyFromEnvironment && h.ProxyURL != "":
		o.mistake("proxy_from_environment", "only one of proxy_url and proxy_from_environment can be set")
	case h.ProxyFromEnvironment && h.NoProxy != "":
		o.mistake("no_proxy", "cannot be set with proxy_from_environment; set NO_PROXY there")
	case h.NoProxy != "" && h.ProxyURL == "":
		o.mistake("no_proxy", "has no effect without proxy_url")
	case len(h.ProxyConnectHeader) > 0 && h.ProxyURL == "" && !h.ProxyFromEnvironment:
		o.mistake("proxy_connect_header", "has no effect without proxy_url or proxy_from_environment")
	}
}

func parseProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL") // the error quotes it, with its password
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the scheme %q is not supported; it can be http or https", u.Scheme)
	case u.Host == "":
		return nil, errors.New("has no host")
	}
	return u, nil
}

// header gives the static headers of each request, those named Host apart.
func (h *httpOptions) header() (header http.Header, host string) {
	header = http.Header{}
	for name, value := range h.Headers {
		if textproto.CanonicalMIMEHeaderKey(name) == "Host" {
			host = value
			continue
		}
		header.Set(name, value)
	}
	if _, ok := header["User-Agent"]; !ok {
		header.Set("User-Agent", userAgent)
	}
	return header, host
}
