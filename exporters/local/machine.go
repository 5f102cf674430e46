package local

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// machine is one module of the kind "machine".
type machine struct {
	local   *Local
	options machineOptions
}

// probe tells about load, memory, pressure and clock. It fails only for what
// the options forbid: a busy machine is not a broken one.
func (p machine) probe(_ context.Context, req probe.Request) probe.Result {
	if name := req.Target; name != "localhost" && name != everything {
		if own, err := os.Hostname(); err != nil || name != own {
			return probe.Fail(probe.Metrics{}, probe.Protocol, fmt.Sprintf(
				"the machine probe looks at the machine that Collie runs on: its target is localhost, not %q", name))
		}
	}
	var m probe.Metrics
	var problems []problem
	for _, part := range []func(*probe.Metrics) (*problem, error){p.load, p.memory, p.uptime, p.pressure, p.clock} {
		found, err := part(&m)
		switch {
		case err != nil:
			req.Log.Debug("cannot read a part of the machine's state", "err", err)
		case found != nil:
			problems = append(problems, *found)
		}
	}
	return judged(m, problems)
}

func (p machine) load(m *probe.Metrics) (*problem, error) {
	text, err := p.local.read("loadavg")
	if err != nil || text == "" {
		return p.unknown(p.options.MaxLoadPerCPU > 0, "max_load_per_cpu", "load", err)
	}
	load, err := parseLoadavg(text)
	if err != nil {
		return nil, err
	}
	cpus := float64(p.local.cpus)
	m.Gauge("probe_machine_load1", "Processes that run or wait for a CPU or a disk, over 1 minute.", load[0])
	m.Gauge("probe_machine_load5", "Processes that run or wait for a CPU or a disk, over 5 minutes.", load[1])
	m.Gauge("probe_machine_load15", "Processes that run or wait for a CPU or a disk, over 15 minutes.", load[2])
	m.Gauge("probe_machine_cpus", "CPUs that Collie may use.", cpus)
	if most := float64(p.options.MaxLoadPerCPU); most > 0 && load[1] > most*cpus {
		return &problem{probe.Quota, fmt.Sprintf("load over 5 minutes is %.2f on %.0f CPUs, more than %g each", load[1], cpus, most)}, nil
	}
	return nil, nil
}

func (p machine) memory(m *probe.Metrics) (*problem, error) {
	text, err := p.local.read("meminfo")
	if err != nil || text == "" {
		return p.unknown(p.options.MinMemoryAvailableRatio > 0, "min_memory_available_ratio", "memory", err)
	}
	mem := parseMeminfo(text)
	for _, part := range []struct{ key, name, help string }{
		{"MemTotal", "probe_machine_memory_total_bytes", "Memory that the kernel manages."},
		{"MemAvailable", "probe_machine_memory_available_bytes", "Memory that programs can still have without swapping, as the kernel estimates."},
		{"SwapTotal", "probe_machine_swap_total_bytes", "Swap space."},
		{"SwapFree", "probe_machine_swap_free_bytes", "Swap space that is not used."},
	} {
		if v, ok := mem[part.key]; ok {
			m.Gauge(part.name, part.help, v)
		}
	}
	total, avail, least := mem["MemTotal"], mem["MemAvailable"], float64(p.options.MinMemoryAvailableRatio)
	if total > 0 && avail < least*total {
		return &problem{probe.Quota, fmt.Sprintf("%s of %s of memory can still be had, less than %s", human(avail), human(total), percent(least))}, nil
	}
	return nil, nil
}

func (p machine) uptime(m *probe.Metrics) (*problem, error) {
	text, err := p.local.read("uptime")
	if err != nil || text == "" {
		return nil, err
	}
	up, err := parseUptime(text)
	if err != nil {
		return nil, err
	}
	m.Gauge("probe_machine_uptime_seconds", "How long the machine has been up, sleep included.", up)
	if text, err = p.local.read("stat"); err != nil || text == "" {
		return nil, err
	}
	if boot, ok := parseBootTime(text); ok {
		m.Gauge("probe_machine_boot_timestamp_seconds", "When the machine was started, as Unix time.", boot)
	}
	return nil, nil
}

// pressure tells how long work had to wait for each resource. Kernels without
// pressure stall information, or with it switched off, have no such files.
func (p machine) pressure(m *probe.Metrics) (*problem, error) {
	for _, resource := range []string{"cpu", "io", "memory"} {
		text, err := p.local.read("pressure/" + resource)
		if err != nil || text == "" {
			return nil, err
		}
		some, full := parsePressure(text)
		m.Counter("probe_machine_pressure_waiting_seconds_total", "Time in which at least one process waited for the resource.", some, "resource", resource)
		m.Counter("probe_machine_pressure_stalled_seconds_total", "Time in which all processes waited for the resource.", full, "resource", resource)
	}
	return nil, nil
}

func (p machine) clock(m *probe.Metrics) (*problem, error) {
	o := p.options
	c, err := p.local.clock()
	if err != nil {
		return p.unknown(o.ClockSynchronized || o.MaxClockOffset > 0 || o.MaxClockError > 0, "the clock options", "clock", err)
	}
	m.Gauge("probe_machine_clock_offset_seconds", "How far the kernel still has to move the clock, as the time daemon told it.", c.offset.Seconds())
	m.Gauge("probe_machine_clock_max_error_seconds", "Bound on the error of the clock; grows by half a millisecond a second while no daemon disciplines it.", c.maxError.Seconds())
	m.Gauge("probe_machine_clock_synchronized", "1 if a time daemon says that the clock is right.", probe.Bool(c.synchronized))
	return o.judgeClock(c), nil
}

func (o machineOptions) judgeClock(c clock) *problem {
	switch {
	case o.ClockSynchronized && !c.synchronized:
		return &problem{probe.Status, "the clock is not synchronized: no time daemon (chrony, ntpd, systemd-timesyncd) disciplines it"}
	case o.MaxClockOffset > 0 && c.offset.Abs() > o.MaxClockOffset:
		return &problem{probe.Status, fmt.Sprintf("the clock is %s off, more than %s", c.offset.Abs().Round(time.Microsecond), o.MaxClockOffset)}
	case o.MaxClockError > 0 && c.maxError > o.MaxClockError:
		return &problem{probe.Status, fmt.Sprintf("the clock may be %s off, more than %s", c.maxError.Round(time.Microsecond), o.MaxClockError)}
	}
	return nil
}

// unknown is a problem if someone asked for a limit on what cannot be read:
// what is not seen must not pass for good.
func (p machine) unknown(limited bool, option, what string, err error) (*problem, error) {
	if !limited {
		return nil, err
	}
	text := fmt.Sprintf("%s is set, but this system does not tell its %s", option, what)
	if err != nil {
		text += ": " + err.Error()
	}
	return &problem{probe.Protocol, text}, nil
}
