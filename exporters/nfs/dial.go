package nfs

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"github.com/colliehq/collie/exporters/probe"
)

// resolve chooses one address of the name: the first of the preferred family,
// else, if falling back is allowed, the first of the other. There is no second
// try with another address: a server that answers on one only is half broken,
// and that is to be seen.
func (o options) resolve(ctx context.Context, resolver probe.Resolver, name string) (netip.Addr, error) {
	preferred := func(a netip.Addr) bool { return a.Is4() == (o.Preferred == "ip4") }
	addrs, err := lookup(ctx, resolver, name)
	if err != nil {
		return netip.Addr{}, err
	}
	var other netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); preferred(a) {
			return a, nil
		}
		if !other.IsValid() {
			other = a
		}
	}
	if other.IsValid() && o.Fallback {
		return other, nil
	}
	return netip.Addr{}, &net.DNSError{Err: "no " + string(o.Preferred) + " address", Name: name, IsNotFound: true}
}

func lookup(ctx context.Context, resolver probe.Resolver, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", name)
	var dns *net.DNSError
	if err != nil && !errors.As(err, &dns) {
		err = &net.DNSError{Err: err.Error(), Name: name, UnwrapErr: err}
	}
	return addrs, err
}

// Source ports that servers take for those of a trusted system. The lower ones
// are left alone, since well-known services live there; Linux' own NFS client
// does the same.
const (
	lowestSource  = 665
	highestSource = 1023
	sourceTries   = 16 // ports that are tried before an ordinary one is used
)

// errNoPrivilege is what connecting from a port below 1024 ends with where that
// is not allowed.
var errNoPrivilege = errors.New("no port below 1024 can be used: that needs CAP_NET_BIND_SERVICE")

// dial connects to the server, from a port below 1024 if that is asked for.
func (a *attempt) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := &net.Dialer{KeepAlive: -1} // a probe is over before the first keep-alive
	if guard := a.req.Dial; guard != nil {
		d.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return guard(network, address)
		}
	}
	if !a.privileged {
		if a.o.SourceIP.IsValid() { // else nothing is bound: that would use up ports for all servers together
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.o.SourceIP.Addr, 0))
		}
		return d.DialContext(ctx, "tcp", to.String())
	}
	return a.dialPrivileged(ctx, d, to)
}

func (a *attempt) dialPrivileged(ctx context.Context, d *net.Dialer, to netip.AddrPort) (net.Conn, error) {
	source := a.o.SourceIP.Addr
	if !source.IsValid() {
		source = netip.IPv6Unspecified()
		if to.Addr().Is4() {
			source = netip.IPv4Unspecified()
		}
	}
	first, span := rand.IntN(highestSource-lowestSource+1), highestSource-lowestSource+1
	for try := range sourceTries {
		from := netip.AddrPortFrom(source, uint16(lowestSource+(first+try)%span))
		conn, err := d.DialTCP(ctx, "tcp", from, to)
		switch {
		case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
			continue
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
			return nil, errNoPrivilege
		case err == nil:
			_ = conn.SetLinger(0) // frees the port at once: there are only a few hundred
		}
		return opened(conn, err)
	}
	return nil, errNoPrivilege
}

// opened keeps a nil connection from becoming an interface that is not nil.
func opened(conn *net.TCPConn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return conn, nil
}
