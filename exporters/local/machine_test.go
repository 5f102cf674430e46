package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// fakeMachine has 2 CPUs, a load of 0.58 over 5 minutes, and the memory and the
// pressure that were recorded in testdata/proc.
func fakeMachine(t *testing.T, c clock, clockErr error) (*Local, string) {
	dir := procDir(t, "")
	l := newLocal(Options{ProcPath: dir}, newFakeAsker(nil))
	l.cpus = 2
	l.clock = func() (clock, error) { return c, clockErr }
	return l, dir
}

func TestMachineExposition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := fakeMachine(t, clock{offset: -1500 * time.Microsecond, maxError: 8 * time.Millisecond, synchronized: true}, nil)
		r := run(moduleOf(t, l, "machine", ""), "localhost")
		wantSuccess(t, r)
		golden(t, "machine.prom", exposition(r))
	})
}

func TestMachineLimits(t *testing.T) {
	good := clock{offset: -1500 * time.Microsecond, maxError: 8 * time.Millisecond, synchronized: true}
	lost := clock{maxError: 16 * time.Second}
	for _, tt := range []struct {
		options string
		clock   clock
		reason  probe.Reason
		cause   string
	}{
		{"", lost, probe.None, ""},
		{"max_clock_offset: 2ms", good, probe.None, ""},
		{"max_clock_offset: 1ms", good, probe.Status, "the clock is 1.5ms off, more than 1ms"},
		{"max_clock_error: 8ms", good, probe.None, ""},
		{"max_clock_error: 1s", lost, probe.Status, "the clock may be 16s off, more than 1s"},
		{"clock_synchronized: true", good, probe.None, ""},
		{"clock_synchronized: true", lost, probe.Status, "no time daemon"},
		{"max_load_per_cpu: 0.29", good, probe.None, ""},
		{"max_load_per_cpu: 0.28", good, probe.Quota, "load over 5 minutes is 0.58 on 2 CPUs, more than 0.28 each"},
		{"min_memory_available_ratio: 97%", good, probe.None, ""}, // 24029388 of 24684100 kB are 97.3 %
		{"min_memory_available_ratio: 0.98", good, probe.Quota, "22.9 GiB of 23.5 GiB of memory can still be had, less than 98 %"},
	} {
		t.Run(tt.options, func(t *testing.T) {
			l, _ := fakeMachine(t, tt.clock, nil)
			r := run(moduleOf(t, l, "machine", tt.options), "localhost")
			if tt.reason == probe.None {
				wantSuccess(t, r)
			} else {
				wantFailure(t, r, tt.reason, tt.cause)
			}
		})
	}
}

// Kernels and containers differ in what they tell. What is missing costs its
// own series; only a limit on it makes the probe fail.
func TestMachineThatTellsNothing(t *testing.T) {
	l, dir := fakeMachine(t, clock{}, errors.New("adjtimex: operation not permitted"))
	for _, name := range []string{"loadavg", "meminfo", "uptime", "stat", "pressure"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	wantSuccess(t, run(moduleOf(t, l, "machine", ""), "localhost"))
	for options, cause := range map[string]string{
		"max_clock_offset: 1s":              "the clock options is set, but this system does not tell its clock: adjtimex: operation not permitted",
		"max_load_per_cpu: 1":               "max_load_per_cpu is set, but this system does not tell its load",
		"min_memory_available_ratio: 0.001": "min_memory_available_ratio is set, but this system does not tell its memory",
	} {
		wantFailure(t, run(moduleOf(t, l, "machine", options), "localhost"), probe.Protocol, cause)
	}
}

func TestMachineLooksAtItselfOnly(t *testing.T) {
	l, _ := fakeMachine(t, clock{}, nil)
	m := moduleOf(t, l, "machine", "")
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	wantSuccess(t, run(m, own))
	wantSuccess(t, run(m, "*"))
	wantFailure(t, run(m, "db1.example.org"), probe.Protocol, `its target is localhost, not "db1.example.org"`)
}

func TestThisMachine(t *testing.T) {
	l := newLocal(Options{}, newFakeAsker(nil))
	r := run(moduleOf(t, l, "machine", ""), "localhost")
	wantSuccess(t, r)
	text := exposition(r)
	checkMetrics(t, text)
	for _, series := range []string{"probe_machine_load1", "probe_machine_memory_available_bytes", "probe_machine_boot_timestamp_seconds", "probe_machine_clock_max_error_seconds"} {
		metric(t, text, series)
	}
}

func FuzzProcfs(f *testing.F) {
	for _, name := range []string{"loadavg", "meminfo", "uptime", "stat", "pressure/cpu"} {
		text, err := os.ReadFile(filepath.Join("testdata/proc", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = parseLoadavg(text)
		_ = parseMeminfo(text)
		_, _ = parseUptime(text)
		_, _ = parseBootTime(text)
		_, _ = parsePressure(text)
	})
}
