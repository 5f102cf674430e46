package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNoManagement says that there is nothing to compare with.
var ErrNoManagement = errors.New("no management_url is configured")

// Drift compares what this process declared with what the broker has, by its
// management API, and returns one sentence for each difference; none if they
// agree. Names with our prefix that nobody here declared belong to other
// processes and are no difference.
func (q *Queue) Drift(ctx context.Context) ([]string, error) {
	if q.cfg.ManagementURL == "" {
		return nil, ErrNoManagement
	}
	have, err := q.brokerTopology(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the management API: %w", err)
	}
	ours := q.Topology()
	return ours.differ(have), nil
}

// brokerTopology reads what the virtual host holds.
func (q *Queue) brokerTopology(ctx context.Context) (t Topology, err error) {
	var exchanges []struct{ Name, Type string }
	var queues []Object
	var bindings []struct {
		Source      string
		Destination string
		Key         string `json:"routing_key"`
	}
	err = errors.Join(q.get(ctx, "exchanges", &exchanges), q.get(ctx, "queues", &queues), q.get(ctx, "bindings", &bindings))
	for _, e := range exchanges {
		t.Exchanges = append(t.Exchanges, Exchange{e.Name, e.Type})
	}
	for _, b := range bindings {
		t.Bindings = append(t.Bindings, Binding{b.Source, b.Destination, b.Key})
	}
	t.Queues = queues
	return t, err
}

const managementTimeout = 10 * time.Second

func (q *Queue) get(ctx context.Context, what string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, managementTimeout)
	defer cancel()
	address := strings.TrimSuffix(q.cfg.ManagementURL, "/") + "/api/" + what + "/" + url.PathEscape(q.cfg.VHost)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return plain(err)
	}
	password, err := q.cfg.password()
	if err != nil {
		return err
	}
	req.SetBasicAuth(q.cfg.Username, password)
	tlsConfig, err := q.cfg.TLS.config()
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", what, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// differ tells what is missing or different in have.
func (t *Topology) differ(have Topology) (drift []string) {
	for _, e := range t.Exchanges {
		if !slices.Contains(have.Exchanges, e) {
			drift = append(drift, fmt.Sprintf("exchange %s of type %s is missing", e.Name, e.Kind))
		}
	}
	for _, o := range t.Queues {
		i := slices.IndexFunc(have.Queues, func(h Object) bool { return h.Name == o.Name })
		if i < 0 {
			drift = append(drift, fmt.Sprintf("queue %s is missing", o.Name))
			continue
		}
		drift = append(drift, o.differ(have.Queues[i])...)
	}
	for _, b := range t.Bindings {
		if !slices.Contains(have.Bindings, b) {
			drift = append(drift, fmt.Sprintf("queue %s is not bound to %s with the key %s: it gets nothing", b.Queue, b.Exchange, b.Key))
		}
	}
	return drift
}

func (o *Object) differ(have Object) (drift []string) {
	for name, want := range o.Arguments {
		if got := have.Arguments[name]; argument(got) != argument(want) {
			drift = append(drift, fmt.Sprintf("queue %s has %s %s, not %s", o.Name, name, argument(got), argument(want)))
		}
	}
	slices.Sort(drift)
	return drift
}

// argument is a value as text: numbers come from JSON as floating point.
func argument(v any) string {
	switch n := v.(type) {
	case nil:
		return "unset"
	case float64:
		return strconv.FormatInt(int64(n), 10)
	}
	return fmt.Sprint(v)
}
