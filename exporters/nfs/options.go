package nfs

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/units"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// options are what a module says under "nfs".
type options struct {
	Preferred ipProtocol `yaml:"preferred_ip_protocol"`
	Fallback  bool       `yaml:"ip_protocol_fallback"`
	SourceIP  ipAddr     `yaml:"source_ip_address"`

	Versions    versions `yaml:"versions"`
	Path        string   `yaml:"path"`
	PathV4      string   `yaml:"path_v4"`
	RequireSize *bool    `yaml:"require_size"`
	Ports       ports    `yaml:"ports"`
	MaxExports  int      `yaml:"max_exports"`

	Privileged privileged `yaml:"privileged_port"`
	UID        uint32     `yaml:"uid"`
	GID        uint32     `yaml:"gid"`

	MinFreeRatio       ratio `yaml:"min_free_ratio"`
	MinFreeBytes       size  `yaml:"min_free_bytes"`
	MinFreeInodesRatio ratio `yaml:"min_free_inodes_ratio"`
}

// ports are where the services listen. 0 for mount asks rpcbind, 0 for rpcbind
// asks nobody.
type ports struct {
	NFS     uint16 `yaml:"nfs"`
	Mount   uint16 `yaml:"mount"`
	Rpcbind uint16 `yaml:"rpcbind"`
}

const (
	nfsPort     = 2049
	rpcbindPort = 111

	defaultMaxExports = 32
	maxMaxExports     = 1000
)

func defaults() options {
	return options{
		Preferred: "ip4", Fallback: true, Privileged: "auto", MaxExports: defaultMaxExports,
		Ports: ports{NFS: nfsPort, Rpcbind: rpcbindPort},
	}
}

func (x *NFS) build(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	o, ok := decode(node, bad)
	if !ok {
		return nil
	}
	return func(ctx context.Context, req probe.Request) probe.Result { return x.probe(ctx, req, o) }
}

// decode reads a module's options and tells bad of every mistake.
func decode(node *yaml.Node, bad func(line int, format string, args ...any)) (o options, ok bool) {
	o, ok = defaults(), true
	lines := strictyaml.LinesOf(node)
	mistake := func(line int, path, message string) {
		ok = false
		bad(line, "%s: %s", strings.TrimSuffix("nfs."+path, "."), message)
	}
	strictyaml.Decode(node, &o, mistake)
	for path, value := range map[string]string{"path": o.Path, "path_v4": o.PathV4} {
		if value == "" {
			continue
		}
		if _, err := splitPath(value); err != nil {
			mistake(lines.Of(path), path, err.Error())
		}
	}
	if o.MaxExports < 0 || o.MaxExports > maxMaxExports {
		mistake(lines.Of("max_exports"), "max_exports", fmt.Sprintf("must be from 0 to %d", maxMaxExports))
	}
	if o.Ports.NFS == 0 {
		mistake(lines.Of("ports.nfs"), "ports.nfs", "0 is not a port")
	}
	return o, ok
}

// version is a version of NFS, as people write it.
type version string

// The versions that can be asked.
const (
	v3  version = "3"
	v40 version = "4.0"
	v41 version = "4.1"
	v42 version = "4.2"
)

func allVersions() []version { return []version{v3, v40, v41, v42} }

// minor is the minor version of a version 4.
func (v version) minor() uint32 { return uint32(strings.IndexByte("012", v[len(v)-1])) }

// versions are the versions that must all work; none means auto: one of them.
type versions []version

// UnmarshalYAML reads "auto", one version or a list of them.
func (v *versions) UnmarshalYAML(node *yaml.Node) error {
	items := node.Content
	switch {
	case node.Kind == yaml.ScalarNode && node.Value == "auto":
		return nil
	case node.Kind == yaml.ScalarNode:
		items = []*yaml.Node{node}
	case node.Kind != yaml.SequenceNode || len(items) == 0:
		return fmt.Errorf("must be auto or a list like [3, 4.0, 4.1]")
	}
	*v = nil
	for _, item := range items {
		one, err := parseVersion(item.Value)
		if err != nil {
			return err
		}
		if slices.Contains(*v, one) {
			return fmt.Errorf("%s stands there twice", one)
		}
		*v = append(*v, one)
	}
	return nil
}

func parseVersion(text string) (version, error) {
	if text == "4" {
		text = "4.0"
	}
	if v := version(text); slices.Contains(allVersions(), v) {
		return v, nil
	}
	return "", fmt.Errorf("%q is not a version that is asked; it can be 3, 4.0, 4.1 or 4.2, or auto instead of a list", text)
}

// asks tells whether the version is to be asked.
func (v versions) asks(one version) bool { return len(v) == 0 || slices.Contains(v, one) }

// asksAny tells whether one of the versions 4 is to be asked.
func (v versions) asksV4() bool { return v.asks(v40) || v.asks(v41) || v.asks(v42) }

// privileged says whether to connect from a port below 1024.
type privileged string

// UnmarshalText reads auto, always or never.
func (p *privileged) UnmarshalText(text []byte) error {
	switch v := privileged(text); v {
	case "auto", "always", "never":
		*p = v
		return nil
	default:
		return fmt.Errorf("%q is none of auto, always and never", text)
	}
}

// ipProtocol is "ip4" or "ip6".
type ipProtocol string

// UnmarshalText reads an IP protocol.
func (p *ipProtocol) UnmarshalText(text []byte) error {
	switch v := ipProtocol(text); v {
	case "ip4", "ip6":
		*p = v
		return nil
	default:
		return fmt.Errorf("%q is neither ip4 nor ip6", text)
	}
}

// ipAddr is an address of this machine to probe from; the zero value leaves the
// choice to the kernel.
type ipAddr struct{ netip.Addr }

// UnmarshalText reads an address.
func (a *ipAddr) UnmarshalText(text []byte) (err error) {
	if a.Addr, err = netip.ParseAddr(string(text)); err != nil {
		return fmt.Errorf("%q is not an IP address", text)
	}
	return nil
}

// ratio is a part of a whole, from 0 to 1, written as 0.1 or 10%.
type ratio float64

// UnmarshalText reads a ratio.
func (r *ratio) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) { // so that NaN is refused, too
		return fmt.Errorf("%q is not a part of a whole; write it like 0.1 or 10%%", text)
	}
	*r = ratio(v)
	return nil
}

// size is a number of bytes, written as digits or with a unit. MB and MiB mean
// the same 1,048,576 bytes, as everywhere in Prometheus.
type size float64

// UnmarshalText reads a size.
func (s *size) UnmarshalText(text []byte) error {
	if v, err := strconv.ParseUint(string(text), 10, 63); err == nil {
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
