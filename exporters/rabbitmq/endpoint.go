package rabbitmq

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// road is one of the two ways to a node.
type road string

// The roads.
const (
	metricsRoad    road = "metrics"    // the prometheus plugin
	managementRoad road = "management" // the management API
)

// port is the one that RabbitMQ takes if no other is configured.
func (r road) port(scheme string) string {
	switch {
	case r == metricsRoad && scheme == "https":
		return "15691"
	case r == metricsRoad:
		return "15692"
	case scheme == "https":
		return "15671"
	}
	return "15672"
}

// endpoint is where a node answers on one road.
type endpoint struct {
	base url.URL // scheme, host:port, and a path for brokers behind a prefix
	name string  // of the Erlang node, if management told of it
}

// label is the endpoint as a value of a label.
func (e endpoint) label() string { return e.base.Host }

// parseEndpoint takes "mq1", "mq1:15692", "[::1]" or a URL.
func parseEndpoint(text string, r road) (endpoint, error) {
	if !strings.Contains(text, "://") {
		if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
			text = "[" + text + "]"
		}
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return endpoint{}, errors.New("is not an address: HOST, HOST:PORT or a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return endpoint{}, fmt.Errorf("begins with %s://; it can be http:// or https://", u.Scheme)
	case u.User != nil:
		return endpoint{}, errors.New("holds a user; name it in username and password_file")
	case u.Hostname() == "":
		return endpoint{}, errors.New("names no host")
	case u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, errors.New("has a query; the probe makes its own")
	}
	if _, err := strconv.ParseUint(portOf(u, r), 10, 16); err != nil {
		return endpoint{}, fmt.Errorf("%q is not a port", u.Port())
	}
	// The path of the metrics, as Prometheus would be given it, is ours to choose.
	path, _, _ := strings.Cut(strings.TrimRight(u.Path, "/"), "/metrics")
	path = strings.TrimSuffix(path, "/api")
	return endpoint{base: url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(strings.ToLower(u.Hostname()), portOf(u, r)), Path: path}}, nil
}

func portOf(u *url.URL, r road) string {
	if u.Port() != "" {
		return u.Port()
	}
	return r.port(u.Scheme)
}

// on is the same host on another road, at that road's usual port.
func (e endpoint) on(r road) endpoint {
	return endpoint{base: url.URL{Scheme: e.base.Scheme, Host: net.JoinHostPort(e.base.Hostname(), r.port(e.base.Scheme))}}
}

// peer is where the Erlang node "rabbit@mq2" shows its metrics, told from where
// another node of the cluster is. Its name is often short: then it is taken to
// be in the same domain.
func (e endpoint) peer(node, scheme string, port int) (endpoint, bool) {
	_, host, ok := strings.Cut(node, "@")
	host = strings.ToLower(host)
	if !ok || host == "" || len(host) > 253 || strings.ContainsAny(host, "/?#@:[]% \\\"") || port < 1 || port > 65535 {
		return endpoint{}, false
	}
	ours := e.base.Hostname()
	short, domain, qualified := strings.Cut(ours, ".")
	_, err := netip.ParseAddr(ours)
	switch {
	case host == short && err != nil, host == "localhost":
		host = ours
	case qualified && err != nil && !strings.Contains(host, "."):
		host += "." + domain
	}
	return endpoint{base: url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(port))}, name: node}, true
}
