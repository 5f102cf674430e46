package host

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// lookup is the address that a probe chose, and how long that took. The zero
// value is one that was not made.
type lookup struct {
	addr netip.Addr
	took time.Duration
}

// resolve chooses one address of the name. A single address is probed, with no
// race between families and no second try: a host that answers on one family
// only is half broken, and that is to be seen.
func (o ipOptions) resolve(ctx context.Context, req probe.Request, name string) (lookup, error) {
	start := time.Now()
	addr, err := o.choose(ctx, req.Resolver, name)
	l := lookup{addr, time.Since(start)}
	if err == nil && isDebug(req) {
		req.Log.Debug("resolved target address", "name", name, "address", addr, "took", l.took)
	}
	return l, err
}

// export adds what every probe of a host tells of its address.
func (l lookup) export(m *probe.Metrics) {
	version, hash := 0.0, 0.0
	if l.addr.IsValid() {
		version, hash = ipVersion(l.addr), ipHash(l.addr)
	}
	m.Gauge("probe_dns_lookup_time_seconds", "How long the lookup of the target's name took.", l.took.Seconds())
	m.Gauge("probe_ip_protocol", "Which IP protocol the probe used: 4 or 6; 0 if the name did not resolve.", version)
	m.Gauge("probe_ip_addr_hash", "A hash of the probed address, which shows when the address changes.", hash)
}

// choose gives the first address of the preferred family, else the first of
// the other one if falling back is allowed.
func (o ipOptions) choose(ctx context.Context, resolver probe.Resolver, name string) (netip.Addr, error) {
	network, other := "ip6", "ip4"
	if o.Preferred == "ip4" {
		network, other = other, network
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap()
		if family(addr) == network || o.Fallback {
			return addr, nil
		}
		return netip.Addr{}, &net.DNSError{Err: "is an " + other + " address, and falling back from " + network + " is not allowed", Name: name, IsNotFound: true}
	}
	if !o.Fallback {
		addrs, err := resolver.LookupNetIP(ctx, network, name)
		return first(addrs, network, name, err)
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", name)
	if addr, err := first(addrs, network, name, err); err == nil {
		return addr, nil
	}
	return first(addrs, other, name, err)
}

// first is the first address of the family.
func first(addrs []netip.Addr, network, name string, err error) (netip.Addr, error) {
	if err != nil {
		if _, ok := errors.AsType[*net.DNSError](err); !ok {
			err = &net.DNSError{Err: err.Error(), Name: name, UnwrapErr: err}
		}
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if a = a.Unmap(); family(a) == network {
			return a, nil
		}
	}
	return netip.Addr{}, &net.DNSError{Err: "no " + network + " address", Name: name, IsNotFound: true}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip4"
	}
	return "ip6"
}

func ipVersion(a netip.Addr) float64 {
	if a.Is4() {
		return 4
	}
	return 6
}

// ipHash is FNV-1a over the bytes of the address, as in blackbox_exporter.
func ipHash(a netip.Addr) float64 {
	h := fnv.New32a()
	h.Write(a.AsSlice()) // never fails
	return float64(h.Sum32())
}

// splitTarget takes a target apart into name and port. Without a port it takes
// the fallback, or fails if that is empty.
func splitTarget(target, fallback string) (name, port string, err error) {
	name, port, err = net.SplitHostPort(target)
	if err == nil {
		return name, port, nil
	}
	if fallback == "" {
		return "", "", fmt.Errorf("target %q is not HOST:PORT", target)
	}
	if addr, err := netip.ParseAddr(trimBrackets(target)); err == nil {
		return addr.String(), fallback, nil
	}
	return target, fallback, nil
}

func trimBrackets(s string) string {
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		return s[1 : n-1]
	}
	return s
}

// lookupPort turns a port or the name of a service into its number.
func lookupPort(ctx context.Context, network, port string) (uint16, error) {
	n, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil || n <= 0 || n > 65535 {
		return 0, fmt.Errorf("%q is not a port", port)
	}
	return uint16(n), nil
}

// dialer dials the one address, asking the guard about what is really dialled.
func dialer(req probe.Request) *net.Dialer {
	d := &net.Dialer{KeepAlive: -1} // a probe is over before the first keep-alive
	if guard := req.Dial; guard != nil {
		d.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return guard(network, address)
		}
	}
	return d
}

// dialTCP connects. The connection gives up when ctx ends; call the returned
// function when it is no longer needed.
func dialTCP(ctx context.Context, req probe.Request, source ipAddr, to netip.AddrPort) (net.Conn, func(), error) {
	d := dialer(req)
	if source.IsValid() { // else nothing is bound: that would use up ports for all targets together
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source.Addr, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, nil, err
	}
	return conn, endWith(ctx, conn), nil
}

// endWith closes conn when the returned function is called, and before that
// makes what waits on it fail when ctx ends.
func endWith(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		stop()
		_ = conn.Close() // the answer is in; how the goodbye goes does not matter
	}
}
