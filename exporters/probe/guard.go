package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ErrGuarded is wrapped by what a Guard answers for an address that is not
// probed.
var ErrGuarded = errors.New("this address is never probed")

// GuardMetadata refuses the addresses behind which clouds and machines keep
// what must not be read through a prober: link-local and unspecified ones, and
// the metadata services that live elsewhere. It sees through IPv6 forms that
// carry an IPv4 address. Loopback and private addresses are allowed, they are
// what Collie watches.
func GuardMetadata(_, address string) error {
	addr, err := hostOf(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not an address", ErrGuarded, address)
	}
	for _, a := range []netip.Addr{addr, embedded(addr)} {
		if why := guarding(a); why != "" {
			return fmt.Errorf("%w: %s is %s", ErrGuarded, addr, why)
		}
	}
	return nil
}

// hostOf takes the address out of "1.2.3.4", "1.2.3.4:80", "::1" or "[::1]:80".
func hostOf(address string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.Trim(address, "[]"))
	return a.Unmap().WithZone(""), err
}

// guarding says what a is, if it is not to be probed.
func guarding(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return ""
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast():
		return "link-local" // 169.254.0.0/16 and fe80::/10, with most metadata services
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return "unspecified"
	}
	switch a.String() {
	case "fd00:ec2::254", "fd20:ce::254", // Amazon and Google, over IPv6
		"100.100.100.200", "192.0.0.192", "168.63.129.16": // Alibaba, Oracle, Azure
		return "a cloud's metadata service"
	}
	return ""
}

// embedded is the IPv4 address that a carries: IPv4-compatible (RFC 4291),
// translated (RFC 2765), NAT64 (RFC 6052, 8215) or 6to4 (RFC 3056).
func embedded(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return netip.Addr{}
	}
	b := a.As16()
	switch {
	case a.IsLoopback():
		return netip.Addr{}
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	case prefixed(b, 0, 0, 0, 0, 0, 0), prefixed(b, 0, 0, 0, 0, 0xffff, 0),
		prefixed(b, 0x64, 0xff9b, 0, 0, 0, 0), b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b && b[5] == 1:
		return netip.AddrFrom4([4]byte(b[12:16]))
	}
	return netip.Addr{}
}

// prefixed tells whether b begins with the six groups.
func prefixed(b [16]byte, groups ...uint16) bool {
	for i, g := range groups {
		if uint16(b[2*i])<<8|uint16(b[2*i+1]) != g {
			return false
		}
	}
	return true
}
