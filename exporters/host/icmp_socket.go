package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/colliehq/collie/exporters/probe"
)

// pingSocket sends ICMP messages to one address and receives from it. The hop
// limit that receive gives is -1 if it is not known.
type pingSocket interface {
	net.Conn
	ownID() bool // the kernel sets the identifier of what is sent
	send(message []byte) error
	receive(buffer []byte) (n, hopLimit int, err error)
}

// openPing opens a socket that needs no privilege if the kernel allows that for
// our group, else a raw one.
func openPing(ctx context.Context, req probe.Request, o *icmpOptions, to netip.Addr) (pingSocket, error) {
	if req.Dial != nil {
		if err := req.Dial("ip:icmp", to.String()); err != nil {
			return nil, err
		}
	}
	open, err := openDatagram(o, to)
	if err == nil {
		return open, nil
	}
	raw, rawErr := openRaw(ctx, o, to)
	switch {
	case rawErr == nil:
		return raw, nil
	case errors.Is(rawErr, syscall.EPERM) && isDenied(err):
		return nil, errPing
	case errors.Is(rawErr, syscall.EPERM):
		return nil, err // the first try says more: no route, no such source address
	}
	return nil, rawErr
}

func isDenied(err error) bool { return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) }

var errPing = errors.New("this user may not ping: let the group in by the sysctl net.ipv4.ping_group_range, " +
	"or give Collie the capability CAP_NET_RAW")

// datagramPing is a socket that may send nothing but echo requests (on Linux
// IPPROTO_ICMP with SOCK_DGRAM). The kernel gives it only its own replies.
type datagramPing struct {
	*icmp.PacketConn
	to net.Addr
	v6 bool
}

func openDatagram(o *icmpOptions, to netip.Addr) (pingSocket, error) {
	network, from := "udp4", "0.0.0.0"
	if to.Is6() {
		network, from = "udp6", "::"
	}
	if o.SourceIP.IsValid() {
		from = o.SourceIP.String()
	}
	conn, err := icmp.ListenPacket(network, from)
	if err != nil {
		return nil, err
	}
	d := &datagramPing{PacketConn: conn, to: &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}, v6: to.Is6()}
	if err := d.prepare(o); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return d, nil
}

func (d *datagramPing) prepare(o *icmpOptions) error {
	if o.DontFragment {
		return errors.New("dont_fragment needs a raw socket: give Collie the capability CAP_NET_RAW")
	}
	if d.v6 {
		p := d.IPv6PacketConn()
		_ = p.SetControlMessage(ipv6.FlagHopLimit, true) // without it the hop limit is not known
		return hopLimit(o, p.SetHopLimit)
	}
	p := d.IPv4PacketConn()
	_ = p.SetControlMessage(ipv4.FlagTTL, true)
	return hopLimit(o, p.SetTTL)
}

// hopLimit sets how far packets go, if that is not what the system does anyway.
func hopLimit(o *icmpOptions, set func(int) error) error {
	if o.TTL == 0 || o.TTL == defaultTTL {
		return nil
	}
	if err := set(o.TTL); err != nil {
		return fmt.Errorf("set ttl %d: %w", o.TTL, err)
	}
	return nil
}

func (d *datagramPing) ownID() bool { return true }

func (d *datagramPing) send(message []byte) error {
	_, err := d.WriteTo(message, d.to)
	return err
}

func (d *datagramPing) receive(buffer []byte) (n, hops int, err error) {
	hops = -1
	if d.v6 {
		n, cm, _, err := d.IPv6PacketConn().ReadFrom(buffer)
		if cm != nil {
			hops = cm.HopLimit
		}
		return n, hops, err
	}
	n, cm, _, err := d.IPv4PacketConn().ReadFrom(buffer)
	if cm != nil {
		hops = cm.TTL
	}
	return n, hops, err
}

// Read, Write and RemoteAddr make it a net.Conn.
func (d *datagramPing) Read(b []byte) (int, error) {
	n, _, err := d.receive(b)
	return n, err
}

func (d *datagramPing) Write(b []byte) (int, error) { return len(b), d.send(b) }

func (d *datagramPing) RemoteAddr() net.Addr { return d.to }

// rawPing is a raw socket, connected so that the kernel gives it only what
// comes from the address: with thousands of targets each would else see the
// replies of all.
type rawPing struct {
	*net.IPConn
	v6 *ipv6.PacketConn // nil for IPv4
}

func openRaw(ctx context.Context, o *icmpOptions, to netip.Addr) (pingSocket, error) {
	network := "ip4:1" // by number: the name would be looked up in /etc/protocols
	if to.Is6() {
		network = "ip6:58"
	}
	d := net.Dialer{}
	if o.DontFragment && to.Is4() {
		d.ControlContext = dontFragment
	}
	conn, err := d.DialIP(ctx, network, o.SourceIP.Addr, to)
	if err != nil {
		return nil, err
	}
	r := &rawPing{IPConn: conn}
	if to.Is6() {
		r.v6 = ipv6.NewPacketConn(conn)
		_ = r.v6.SetControlMessage(ipv6.FlagHopLimit, true)
		err = hopLimit(o, r.v6.SetHopLimit)
	} else {
		err = hopLimit(o, ipv4.NewConn(conn).SetTTL)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return r, nil
}

func (r *rawPing) ownID() bool { return false }

func (r *rawPing) send(message []byte) error {
	_, err := r.Write(message)
	return err
}

func (r *rawPing) receive(buffer []byte) (n, hops int, err error) {
	if r.v6 != nil {
		hops = -1
		n, cm, _, err := r.v6.ReadFrom(buffer)
		if cm != nil {
			hops = cm.HopLimit
		}
		return n, hops, err
	}
	n, err = r.Read(buffer)
	if err != nil {
		return 0, -1, err
	}
	return stripIPv4(buffer, n)
}

// stripIPv4 moves what follows the IPv4 header (RFC 791) to the front of the
// buffer, and gives the TTL of the packet. What is no packet becomes empty.
func stripIPv4(buffer []byte, n int) (left, ttl int, err error) {
	if n < 20 || buffer[0]>>4 != 4 {
		return 0, -1, nil
	}
	header := int(buffer[0]&0x0f) * 4
	if header < 20 || header > n {
		return 0, -1, nil
	}
	ttl = int(buffer[8])
	return copy(buffer, buffer[header:n]), ttl, nil
}

var (
	_ pingSocket = (*datagramPing)(nil)
	_ pingSocket = (*rawPing)(nil)
)
