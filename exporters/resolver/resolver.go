// Package resolver turns names into addresses for all probes together: what was
// answered is kept for as long as its owner allows (its TTL), and no longer.
//
// The resolver of the Go library keeps nothing and hides the TTL, so that
// thousands of targets would ask the same questions every few seconds, or an
// outage would be seen through a cache of its own making. This one reads
// /etc/resolv.conf and /etc/hosts as resolv.conf(5) and hosts(5) say, asks the
// servers over UDP and, if an answer does not fit, over TCP. Where resolv.conf
// cannot be used it leaves the work to the Go library.
package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/dns/dnsmessage"
)

// Limits of what is kept.
const (
	maxEntries  = 10_000
	maxTTL      = 24 * time.Hour
	maxNegative = 5 * time.Minute // RFC 2308, section 5, advises one to three hours as the most
	failureTTL  = time.Second     // RFC 9520, section 3.2: failures are kept at least 1 s
)

// Options of a resolver. The paths are for tests.
type Options struct {
	Registry   prometheus.Registerer
	ResolvConf string // empty means /etc/resolv.conf
	Hosts      string // empty means /etc/hosts
	Servers    []string
	// Fallback answers where resolv.conf cannot be used, and for names that are
	// not in the DNS (mDNS); nil means net.DefaultResolver.
	Fallback interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}
}

// Resolver resolves names. Its methods may be used by any goroutine.
type Resolver struct {
	o       Options
	files   files
	metrics *metrics
	ctx     context.Context //nolint:containedctx // of questions, which outlive those who ask
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	cache  cache
	flight map[question]*flight
	closed bool
	turn   int // which server is asked first, with "options rotate"
}

// question is what is asked and kept: a full name and a type.
type question struct {
	name string // lower case, with the dot at the end
	kind dnsmessage.Type
}

// flight is a question on its way; all who ask it meanwhile wait for it.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
}

// New returns a resolver. Close ends what it has on its way.
func New(o Options) *Resolver {
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.Hosts == "" {
		o.Hosts = "/etc/hosts"
	}
	if o.Fallback == nil {
		o.Fallback = net.DefaultResolver
	}
	r := &Resolver{o: o, files: files{resolvConf: o.ResolvConf, hosts: o.Hosts}, flight: map[question]*flight{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.cache.entries = map[question]entry{}
	r.metrics = newMetrics(o.Registry, r)
	return r
}

// Close ends the questions that are on their way and waits for them.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.wg.Wait()
}

// LookupNetIP returns the addresses of host; network is "ip", "ip4" or "ip6".
// IPv4 addresses come first. Errors are *net.DNSError, with IsNotFound for a
// name that does not exist or has no address of that kind.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	r.metrics.lookups.Inc()
	if addr, err := netip.ParseAddr(host); err == nil {
		return suitable([]netip.Addr{addr}, network, host)
	}
	if !isName(host) {
		return nil, notFound(host)
	}
	now := time.Now()
	if addrs := r.files.lookup(host, now); len(addrs) > 0 {
		return suitable(addrs, network, host)
	}
	conf, usable := r.conf(now)
	if !usable || isMulticast(host) {
		return r.o.Fallback.LookupNetIP(ctx, network, host)
	}
	return r.search(ctx, conf, network, host)
}

func (r *Resolver) conf(now time.Time) (conf, bool) {
	c, ok := r.files.conf(now)
	if len(r.o.Servers) > 0 {
		c.servers, ok = r.o.Servers, true
	}
	return c, ok
}

// search tries the names that host may stand for, until one exists.
func (r *Resolver) search(ctx context.Context, c conf, network, host string) ([]netip.Addr, error) {
	var first error
	for _, name := range c.names(host) {
		addrs, err := r.both(ctx, c, network, name)
		if err == nil {
			return addrs, nil
		}
		if first == nil || isNotFound(first) && !isNotFound(err) {
			first = err // a failing server says more than a name that is missing
		}
		if ctx.Err() != nil {
			break
		}
	}
	if dns, ok := errors.AsType[*net.DNSError](first); ok {
		dns.Name = host
	}
	return nil, first
}

// both asks for the addresses of one full name, IPv4 and IPv6 at once.
func (r *Resolver) both(ctx context.Context, c conf, network, name string) ([]netip.Addr, error) {
	var flights []*flight
	for _, kind := range kinds(network) {
		flights = append(flights, r.ask(c, question{name, kind}))
	}
	var addrs []netip.Addr
	var failed error
	for _, f := range flights {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, contextError(ctx, name)
		}
		addrs = append(addrs, f.answer.addrs...)
		if f.err != nil {
			failed = f.err
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case failed != nil:
		return nil, copyOf(failed)
	default:
		return nil, notFound(name)
	}
}

// ask returns the answer from the cache, or the flight that will bring it.
func (r *Resolver) ask(c conf, q question) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.cache.get(q, time.Now()); ok {
		r.metrics.hits.Inc()
		f := &flight{done: make(chan struct{}), answer: e.answer, err: e.err}
		close(f.done)
		return f
	}
	if f := r.flight[q]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if r.closed {
		f.err = net.ErrClosed
		close(f.done)
		return f
	}
	r.flight[q] = f
	r.turn++
	turn := r.turn
	r.wg.Go(func() { r.fly(c, q, f, turn) })
	return f
}

func (r *Resolver) fly(c conf, q question, f *flight, turn int) {
	f.answer, f.err = r.resolve(r.ctx, c, q, turn)
	ttl := f.answer.ttl
	if f.err != nil {
		ttl = failureTTL
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flight, q)
	r.cache.put(q, entry{answer: f.answer, err: f.err, expires: time.Now().Add(ttl)})
	close(f.done)
}

// kinds of addresses that network allows, in the order of the result.
func kinds(network string) []dnsmessage.Type {
	switch network {
	case "ip4":
		return []dnsmessage.Type{dnsmessage.TypeA}
	case "ip6":
		return []dnsmessage.Type{dnsmessage.TypeAAAA}
	default:
		return []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	}
}

// suitable leaves the addresses of the network, IPv4 first.
func suitable(addrs []netip.Addr, network, host string) ([]netip.Addr, error) {
	var four, six []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	switch network {
	case "ip4":
		six = nil
	case "ip6":
		four = nil
	}
	if found := slices.Concat(four, six); len(found) > 0 {
		return found, nil
	}
	return nil, notFound(host)
}

// isMulticast reports whether host belongs to mDNS (RFC 6762, section 3).
func isMulticast(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return strings.HasSuffix(host, ".local")
}
