package rabbitmq

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/colliehq/collie/exporters/probe"
)

// answered are the names of the nodes whose own report was read.
func (s *sight) answered() map[string]bool {
	names := map[string]bool{}
	for _, n := range s.nodes {
		if n.report != nil && n.fault == nil {
			names[n.report.node] = true
		}
	}
	return names
}

// gaps are the nodes that did not answer, each with why.
func (s *sight) gaps() (all []missing) {
	for _, n := range s.nodes {
		if n.fault != nil {
			all = append(all, missing{n.label(), *n.fault})
		}
	}
	if !s.whole() {
		return all
	}
	answered := s.answered()
	for _, n := range s.manager.nodes {
		asked := slices.ContainsFunc(s.nodes, func(a *asked) bool { return a.name == n.Name })
		switch {
		case !n.Running:
			all = append(all, missing{n.Name, fault{probe.Status, "the node is not running"}})
		case !answered[n.Name] && !asked && !s.listed && s.o.Source != fromManagement:
			all = append(all, missing{n.Name, fault{probe.Status, "it is not known where it shows its metrics"}})
		}
	}
	return all
}

// missing is a node that did not answer.
type missing struct {
	what  string
	fault fault
}

// whole says whether the management API tells which nodes there are; else they
// are those that are named.
func (s *sight) whole() bool {
	return s.manager != nil && len(s.manager.nodes) > 0 && (s.o.discovering() || s.o.Source == fromManagement)
}

// known is how many nodes there are, and of how many the queues are counted: by
// their own report, or by the list of the management API if they run.
func (s *sight) known() (all, covered int) {
	reported := 0
	for _, n := range s.nodes {
		if n.fault == nil {
			reported++
		}
	}
	answered, others, members := s.answered(), 0, []node(nil)
	if s.manager != nil {
		members = s.manager.nodes
	}
	for _, n := range members {
		if n.Running && s.listed && !answered[n.Name] {
			others++
		}
	}
	if s.whole() {
		return len(members), min(len(members), len(answered)+others)
	}
	if s.listed && len(members) == 0 {
		return len(s.nodes), len(s.nodes)
	}
	return len(s.nodes), min(len(s.nodes), reported+others)
}

// verdict is why the probe fails; nil if it succeeds.
func (s *sight) verdict() *fault {
	all, covered := s.known()
	if all > 0 && enough(s.o.Require, covered, all) {
		return s.alarming()
	}
	managed, gaps := s.unmanaged(), s.gaps()
	switch {
	case len(gaps) == 0 && managed == nil:
		return &fault{probe.Protocol, "the management API tells of no node"}
	case len(gaps) == 0:
		return managed
	}
	reason := gaps[0].fault.reason
	if managed != nil && managed.reason != probe.Refused && (reason == probe.Refused || reason == probe.Status) {
		reason = managed.reason // the port of the metrics is closed, perhaps for good; this says more
	}
	return &fault{reason, tell(gaps, managed, all, covered)}
}

// enough says whether as many nodes as required were covered.
func enough(r require, covered, all int) bool {
	switch r {
	case requireAll:
		return covered == all
	case requireAny:
		return covered > 0
	case requireMajority:
	}
	return 2*covered > all
}

// unmanaged is what is wrong with the management API.
func (s *sight) unmanaged() *fault {
	if err := errors.Join(s.managed, s.queues); err != nil {
		return &fault{faultOf(err).reason, strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return nil
}

func tell(gaps []missing, managed *fault, all, covered int) string {
	var b strings.Builder
	if all > 1 {
		fmt.Fprintf(&b, "the queues of %d of %d nodes are counted: ", covered, all)
	}
	for i, g := range gaps {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", g.what, g.fault.cause)
	}
	if managed != nil {
		b.WriteString("; " + managed.cause)
	}
	return b.String()
}

// alarming is the alarm that stops publishers, if that is to count as down.
func (s *sight) alarming() *fault {
	if !s.o.FailOnAlarm {
		return nil
	}
	for _, n := range s.seen() {
		for i, on := range n.alarms {
			if on && n.known[i] {
				return faultf(probe.Quota, "%s: the %s alarm is in effect, publishers are blocked", n.name, alarmNames()[i])
			}
		}
	}
	return nil
}
