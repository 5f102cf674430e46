// Package beaker is a simulated Beaker lab: a beakerd that sends what the real
// one sends to carbon, and a web server that answers what the real one answers,
// with faults on demand. It follows the documentation and the source of Beaker
// 28; no part of Beaker runs.
package beaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// The names that the simulated lab has several of.
var (
	Archs      = []string{"aarch64", "x86_64"}
	Labs       = []string{"lab-01_example_org", "lab-02_example_org"} // dots become underscores
	PowerTypes = []string{"ipmitool", "virsh"}
)

// Pass is what beakerd sends every 30 seconds (metrics_loop in beakerd.py), one
// line for each gauge: all of recipes, systems, dirty jobs and commands, with
// values that differ and begin at base. Lines have no end.
func Pass(prefix string, base int, at time.Time) (lines []string) {
	value := base
	tell := func(format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%sgauges.%s %d %d", prefix, fmt.Sprintf(format, args...), value, at.Unix()))
		value++
	}
	for _, group := range append([]string{"all", "dynamic_virt_possible"}, below("by_arch", Archs)...) {
		for _, status := range []string{"new", "processed", "queued", "scheduled", "waiting", "installing", "running", "reserved"} {
			tell("recipes_%s.%s", status, group)
		}
	}
	for _, group := range append(append([]string{"all", "shared"}, below("by_arch", Archs)...), below("by_lab", Labs)...) {
		for _, state := range []string{"recipe", "manual", "idle_automated", "idle_manual", "idle_broken"} {
			tell("systems_%s.%s", state, group)
		}
	}
	tell("dirty_jobs")
	for _, group := range commandGroups() {
		for _, status := range []string{"queued", "running"} {
			tell("system_commands_%s.%s", status, group)
		}
	}
	return lines
}

// Events are the counters that Beaker sends as things happen, each once.
func Events(prefix string, at time.Time) (lines []string) {
	tell := func(name string) { lines = append(lines, fmt.Sprintf("%scounters.%s 1 %d", prefix, name, at.Unix())) }
	for _, end := range []string{"completed", "cancelled", "aborted"} {
		tell("recipes_" + end)
	}
	for _, group := range commandGroups() {
		for _, end := range []string{"completed", "aborted", "failed"} {
			tell("system_commands_" + end + "." + group)
		}
	}
	tell("suspicious_aborts")
	return lines
}

func commandGroups() []string {
	groups := append([]string{"all"}, below("by_lab", Labs)...)
	return append(append(groups, below("by_arch", Archs)...), below("by_power_type", PowerTypes)...)
}

func below(group string, members []string) (names []string) {
	for _, m := range members {
		names = append(names, group+"."+m)
	}
	return names
}

// Send sends lines to a carbon target: over "udp" each in a datagram of its
// own, as beakerd does, over "tcp" as carbon's relay does, line by line.
func Send(ctx context.Context, network, address string, lines []string) (err error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if network == "tcp" {
		_, err = conn.Write([]byte(strings.Join(lines, "\n") + "\n"))
		return err
	}
	for _, line := range lines {
		if _, err := conn.Write([]byte(line)); err != nil {
			return err
		}
	}
	return nil
}

// Run is the simulated beakerd: it sends a pass, and then one each time every
// has passed, until ctx ends. That nobody listens is nothing to it.
func Run(ctx context.Context, network, address, prefix string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = Send(ctx, network, address, Pass(prefix, 1, time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
