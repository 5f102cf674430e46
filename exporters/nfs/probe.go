package nfs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// How the time of a probe is shared out: the rest is for putting away on the
// server what was made there.
const (
	longest    = 30 * time.Second // where nobody sets a limit
	reservedBy = 10               // the part of the time that is kept back
	leastKept  = 20 * time.Millisecond
	mostKept   = 500 * time.Millisecond
)

// probe looks at a server.
func (x *NFS) probe(ctx context.Context, req probe.Request, o options) probe.Result {
	t, err := parseTarget(req.Target)
	if err == nil && o.RequireSize != nil && *o.RequireSize && t.path == "" && o.Path == "" && o.PathV4 == "" {
		err = fmt.Errorf("target %q: require_size needs a path, in the target or in the module", req.Target)
	}
	if err != nil {
		return result(&findings{services: asked(o)}, o, fault{reason: probe.Protocol, cause: err.Error()})
	}
	ctx, reserve, cancel := shared(ctx)
	defer cancel()
	try := func(privileged bool) (*findings, fault) {
		a := &attempt{x: x, req: req, o: o, target: t, privileged: privileged, reserve: reserve}
		a.run(ctx)
		return &a.findings, a.verdict(o, a.pathV3() != "" || a.pathV4() != "")
	}
	f, verdict := try(o.Privileged == "always")
	if verdict.none() || !f.refused() || o.Privileged != "auto" {
		return result(f, o, verdict)
	}
	req.Log.Debug("refused; trying from a port below 1024", "cause", verdict.cause)
	if second, v := try(true); !v.noPrivilege {
		return result(second, o, v)
	}
	verdict.cause += "; " + errNoPrivilege.Error()
	return result(f, o, verdict)
}

// refused tells whether someone did not let us in, which may be because of our
// source port.
func (f *findings) refused() bool {
	for _, s := range f.services {
		if s.fault.reason == probe.Auth {
			return true
		}
	}
	for _, r := range f.sizes {
		if r.fault.reason == probe.Auth {
			return true
		}
	}
	return false
}

// shared leaves a part of the time for cleaning up.
func shared(ctx context.Context) (work context.Context, reserve time.Duration, cancel context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(longest)
	}
	reserve = min(max(time.Until(deadline)/reservedBy, leastKept), mostKept)
	work, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
	return work, reserve, cancel
}

// verdict says whether the probe succeeded: each configured version has to
// answer, and to tell the size where that is wanted; without configured
// versions, one of 3 and 4 has to.
func (f *findings) verdict(o options, path bool) fault {
	if !f.fault.none() {
		return f.fault
	}
	wanted := path
	if o.RequireSize != nil {
		wanted = *o.RequireSize
	}
	if v := f.versionsVerdict(o.Versions, wanted); !v.none() {
		return v
	}
	return f.room(o)
}

func (f *findings) versionsVerdict(configured versions, wanted bool) fault {
	if len(configured) == 0 {
		return either(f.judgeV3(wanted), f.judgeV4(wanted))
	}
	for _, v := range configured {
		if one := f.judge(v, wanted); !one.none() {
			return one
		}
	}
	return fault{}
}

// judge says what is wrong with a version.
func (f *findings) judge(v version, wanted bool) fault {
	if v == v3 {
		return f.judgeV3(wanted)
	}
	switch s := f.services[nfs4]; {
	case !s.fault.none():
		return s.fault
	case !f.minors[v.minor()]:
		return notSpoken(v)
	case wanted:
		return f.judgeSize(v)
	}
	return fault{}
}

func (f *findings) judgeV3(wanted bool) fault {
	if s := f.services[nfs3]; !s.fault.none() || !wanted {
		return s.fault
	}
	return f.judgeSize(v3)
}

// judgeV4 says what is wrong with version 4 where no minor version is named.
func (f *findings) judgeV4(wanted bool) fault {
	if s := f.services[nfs4]; !s.fault.none() {
		return s.fault
	}
	for _, v := range allVersions()[1:] {
		if f.minors[v.minor()] {
			return f.judge(v, wanted)
		}
	}
	return notSpoken("4.0 to 4.2")
}

func (f *findings) judgeSize(v version) fault {
	r, ok := f.sizes[v]
	if !ok {
		return fault{reason: probe.Timeout, cause: "no time was left to ask for the size by version " + string(v)}
	}
	return r.fault
}

// either is no fault if one of the two is none; else the one that tells more,
// with the other behind it.
func either(a, b fault) fault {
	if a.none() || b.none() {
		return fault{}
	}
	if telling(b) > telling(a) {
		a, b = b, a
	}
	if a.cause != b.cause {
		a.cause += "; " + b.cause
	}
	return a
}

// telling ranks faults: what a person can act upon first, that a version is not
// there last. That mountd denies access says less than it seems: it also says so
// of what does not exist.
func telling(f fault) int {
	switch {
	case f.status == "version":
		return 0
	case f.status == "":
		return 1
	case f.status == "access":
		return 2
	case f.reason != probe.Auth:
		return 3
	default:
		return 4
	}
}

// room says whether less is free than the module allows.
func (f *findings) room(o options) fault {
	for _, v := range allVersions() {
		r := f.sizes[v]
		if !r.done {
			continue
		}
		full := func(format string, args ...any) fault {
			return fault{reason: probe.Quota, cause: fmt.Sprintf("by version %s, ", v) + fmt.Sprintf(format, args...)}
		}
		s := r.size
		avail, total, files := float64(s.avail), float64(s.total), float64(s.files)
		switch {
		case avail < float64(o.MinFreeBytes):
			return full("%.0f bytes are free, at least %.0f should be", avail, float64(o.MinFreeBytes))
		case total > 0 && avail/total < float64(o.MinFreeRatio):
			return full("%.2f %% of the space is free, at least %.2f %% should be", 100*avail/total, 100*float64(o.MinFreeRatio))
		case files > 0 && float64(s.filesAvail)/files < float64(o.MinFreeInodesRatio):
			return full("%.2f %% of the inodes are free, at least %.2f %% should be", 100*float64(s.filesAvail)/files, 100*float64(o.MinFreeInodesRatio))
		}
		break
	}
	return fault{}
}

// result puts what was learned into the form that all probes have.
func result(f *findings, o options, verdict fault) probe.Result {
	m := expose(f, o, verdict)
	if verdict.none() {
		return probe.Result{Success: true, Metrics: m}
	}
	r := probe.Fail(m, verdict.reason, verdict.cause)
	r.Evidence = f.evidence()
	return r
}

// evidence tells what became of each service.
func (f *findings) evidence() string {
	var b strings.Builder
	for id, s := range f.services {
		if !s.asked {
			continue
		}
		state := "not connected"
		switch {
		case s.answered:
			state = "answers"
		case s.connected:
			state = "connected, no answer"
		}
		fmt.Fprintf(&b, "%s: %s", serviceID(id), state)
		if s.fault.cause != "" {
			fmt.Fprintf(&b, " (%s)", s.fault.cause)
		}
		b.WriteByte('\n')
	}
	for _, v := range allVersions() {
		if r, ok := f.sizes[v]; ok && !r.done {
			fmt.Fprintf(&b, "%s\n", r.fault.cause)
		}
	}
	return b.String()
}

// asked are the services that a module asks.
func asked(o options) (s [services]service) {
	for _, id := range []serviceID{rpcbind, mountd, nfs3} {
		s[id].asked = o.Versions.asks(v3)
	}
	s[rpcbind].asked = s[rpcbind].asked && o.Ports.Rpcbind != 0
	s[nfs4].asked = o.Versions.asksV4()
	return s
}
