package exporters

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/signal"
)

// target is a configured target at work. All fields are guarded by the mutex
// of its Exporter.
type target struct {
	cfg    TargetConfig
	module probe.Module // of a probed one
	rule   verdict.Rule

	version int // rises when the same name is probed in another way

	machine   verdict.Machine // as judged: may be ahead of what is stored
	seq       uint64          // of the last signal that was made
	published published       // what is stored: the only state that is shown
	queued    int             // changes that wait to be stored
	gone      bool            // it left the configuration

	last     *outcome  // of the last probe; nil before the first, and while blind
	failures []failure // the last failing exchanges, oldest first

	lastPing time.Time     // of a heartbeat
	deadline time.Duration // of the next ping, in the monotonic time of the clock
}

// published is a state that was stored. The zero value is none.
type published struct {
	state signal.State
	since time.Time
}

// outcome is the last result as it is shown. It is never changed.
type outcome struct {
	at       time.Time
	families []probe.Family
}

// failure is one failing exchange.
type failure struct {
	at                      time.Time
	reason, cause, evidence string
}

// maxFailures is how many failing exchanges are kept per target.
const maxFailures = 5

func (t *target) keepFailure(r verdict.Result) {
	if len(t.failures) == maxFailures {
		t.failures = slices.Delete(t.failures, 0, 1)
	}
	t.failures = append(t.failures, failure{r.At, r.Reason, r.Cause, r.Evidence})
}

// maxOlder bounds what is told of the failing exchanges before the last one,
// in bytes each.
const maxOlder = 1 << 10

// evidence tells the failing exchanges of the present run of failures: one as
// it is, several each under a line with its time, the deciding one last.
func (t *target) evidence(from time.Time) string {
	recent := t.failures
	for len(recent) > 0 && recent[0].at.Before(from) {
		recent = recent[1:]
	}
	if len(recent) == 1 {
		return recent[0].evidence
	}
	var b strings.Builder
	for i, f := range recent {
		evidence := f.evidence
		if i < len(recent)-1 && len(evidence) > maxOlder {
			evidence = strings.ToValidUTF8(evidence[:maxOlder], "") + "..."
		}
		fmt.Fprintf(&b, "%s %s: %s\n", f.at.Format("2006-01-02T15:04:05.000Z"), f.reason, f.cause)
		if evidence != "" {
			b.WriteString(strings.TrimRight(evidence, "\n") + "\n")
		}
	}
	return b.String()
}

// host is what the bound per host counts for the target; empty for what is on
// this machine.
func (t *target) host() string {
	if t.module.Kind == "filesystem" || t.module.Kind == "machine" {
		return ""
	}
	return hostOf(t.cfg.Target)
}

// hostOf is the host of a URL, of host:port, or the address itself.
func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return strings.ToLower(u.Hostname())
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		return strings.ToLower(host)
	}
	host, _, _ := strings.Cut(address, "/")
	return strings.ToLower(host)
}

// body is what a signal about the target says of the target itself.
func (t *target) body() signal.Target {
	return signal.Target{
		Name: t.cfg.Name, State: t.machine.State, Address: t.cfg.Target, Probe: t.cfg.Probe, Tier: t.cfg.Tier,
		Provides: t.cfg.Provides, DependsOn: t.cfg.DependsOn, Every: t.cfg.every().String(),
	}
}

// same reports whether signals would say the same of both.
func (t TargetConfig) same(o TargetConfig) bool {
	return t.Target == o.Target && t.Probe == o.Probe && t.Tier == o.Tier && t.every() == o.every() &&
		slices.Equal(t.Provides, o.Provides) && slices.Equal(t.DependsOn, o.DependsOn)
}
