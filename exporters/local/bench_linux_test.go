package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/need"
)

// BenchmarkFilesystem is a probe of one healthy mount through the real helper,
// and reports the CPU of both processes.
func BenchmarkFilesystem(b *testing.B) { benchmark(b, "filesystem", "/") }

// BenchmarkFilesystems is a probe of all real mounts of this machine.
func BenchmarkFilesystems(b *testing.B) { benchmark(b, "filesystem", "*") }

// BenchmarkMachine is a probe of load, memory, pressure and clock.
func BenchmarkMachine(b *testing.B) { benchmark(b, "machine", "localhost") }

func benchmark(b *testing.B, kind, target string) {
	p := realHelpers(b)
	m := moduleOf(b, newLocal(Options{}, p), kind, "")
	if r := run(m, target); !r.Success {
		need.Missing(b, "this benchmark needs a machine with which nothing is wrong: "+r.Cause)
	}
	before := cpuOf(b, p)
	b.ReportAllocs()
	for b.Loop() {
		run(m, target)
	}
	b.ReportMetric(float64((cpuOf(b, p)-before).Microseconds())/float64(b.N), "cpu-us/op")
	if p.current != nil {
		b.ReportMetric(float64(residentOf(b, p.current.pid))/1e6, "helper-MB")
	}
}

// cpuOf is the CPU time of this process and of the helper.
func cpuOf(b *testing.B, p *helpers) time.Duration {
	b.Helper()
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	if p.current == nil {
		return sum
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.current.pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		var ns int64
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

func residentOf(b *testing.B, pid int) (bytes int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		b.Fatal(err)
	}
	return bytes * 1024
}
