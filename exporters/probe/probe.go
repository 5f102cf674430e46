// Package probe is what every exporter has in common: a probe is one function
// from a request to a result, and a result says success, a reason from a closed
// list, how long each phase took, and metrics as data.
package probe

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"go.yaml.in/yaml/v3"
)

// Func makes one active check. It honours the deadline of ctx, starts nothing
// that outlives it, and never panics on what the other side sends. The module's
// options are bound into it when the module is decoded.
type Func func(ctx context.Context, req Request) Result

// Request is what one probe is asked to look at.
type Request struct {
	Target   string       // the address as configured, or as given to /probe
	Log      *slog.Logger // tells what the probe does, for people who debug it; Run sets it if it is nil
	Dial     Guard        // may refuse an address before it is dialled; nil allows all
	Resolver Resolver     // turns names into addresses; Run sets net.DefaultResolver if it is nil
	Params   Params       // what /probe was given beside module and target
}

// Resolver turns a name into addresses; network is "ip", "ip4" or "ip6". A name
// that does not exist is a *net.DNSError with IsNotFound. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Params are the parameters of a /probe request that blackbox_exporter knows.
type Params struct {
	Hostname string // the Host header and TLS server name for a target that is an address
}

// Guard refuses addresses that must not be dialled. It sees the address that is
// really dialled, after name resolution, and once for each redirect.
type Guard func(network, address string) error

// Module is a configured probe: its name, which kind of probe it is, its time
// limit, and the probe itself.
type Module struct {
	Name    string
	Kind    string        // "http", "tcp", ... as in the module file's "prober"
	Timeout time.Duration // 0: the schedule's or the scraper's alone
	Config  string        // the module as YAML with its secrets redacted, for people who debug it
	Probe   Func
}

// Kind is a kind of probe: what a module file names as its prober.
type Kind struct {
	Name string // also the key under which a module keeps the kind's options

	// Build binds the options into a probe. Node is the value of the key Name,
	// nil if the module has no such key: then defaults hold. Every mistake is
	// told to bad with its line; the probe is used only if there was none.
	Build func(node *yaml.Node, bad func(line int, format string, args ...any)) Func
}

// Reason says why a probe failed, from a closed list, so that it can be a label.
type Reason string

// The reasons. None belongs to success.
const (
	None        Reason = ""
	DNS         Reason = "dns"         // the name did not resolve
	Refused     Reason = "refused"     // the other side refused the connection or the export
	Timeout     Reason = "timeout"     // no answer in time
	TLS         Reason = "tls"         // handshake or certificate
	Status      Reason = "status"      // an answer with a status that is not accepted
	Body        Reason = "body"        // an answer whose content is not accepted
	Auth        Reason = "auth"        // not allowed with these credentials
	Stale       Reason = "stale"       // the data is too old, a mount hangs, a handle is stale
	Quota       Reason = "quota"       // no room left, or a budget is spent
	Protocol    Reason = "protocol"    // the answer breaks the protocol
	Unreachable Reason = "unreachable" // no route to the other side
)

// Reasons lists the closed list, without None.
func Reasons() []Reason {
	return []Reason{DNS, Refused, Timeout, TLS, Status, Body, Auth, Stale, Quota, Protocol, Unreachable}
}

// Result is the outcome of one probe.
type Result struct {
	Success  bool
	Reason   Reason        // None if and only if Success
	Cause    string        // one sentence for people; never a label
	Evidence string        // the failing exchange, at most MaxEvidence bytes
	Duration time.Duration // set by Run
	Metrics  Metrics       // the probe's own; Run adds what all probes have
}

// MaxEvidence bounds what is kept of a failing exchange, in bytes.
const MaxEvidence = 4 << 10

// Fail is the result of a probe that failed for the reason, with the cause as
// a sentence and the metrics gathered so far.
func Fail(m Metrics, reason Reason, cause string) Result {
	return Result{Reason: reason, Cause: cause, Metrics: m}
}
