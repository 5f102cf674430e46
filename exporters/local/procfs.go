package local

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseLoadavg reads /proc/loadavg, as in "0.08 0.09 0.12 1/92 14585".
func parseLoadavg(text string) (load [3]float64, err error) {
	fields := strings.Fields(text)
	if len(fields) < len(load) {
		return load, fmt.Errorf("loadavg has %d fields, not 5", len(fields))
	}
	for i := range load {
		if load[i], err = strconv.ParseFloat(fields[i], 64); err != nil {
			return load, fmt.Errorf("loadavg: %w", err)
		}
	}
	return load, nil
}

// parseMeminfo reads /proc/meminfo into bytes by name. What it does not
// understand it leaves out.
func parseMeminfo(text string) map[string]float64 {
	sizes := map[string]float64{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		if v, err := strconv.ParseUint(fields[0], 10, 64); err == nil {
			sizes[name] = float64(v) * 1024
		}
	}
	return sizes
}

// parseUptime reads the first number of /proc/uptime, as in "1425.71 2805.23".
func parseUptime(text string) (float64, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0, fmt.Errorf("uptime: %w", err)
	}
	return v, nil
}

// parseBootTime finds the boot time in /proc/stat, as in "btime 1732077420".
func parseBootTime(text string) (float64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "btime "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v, err == nil
		}
	}
	return 0, false
}

// parsePressure reads the totals of /proc/pressure/*, microseconds there and
// seconds here:
//
//	some avg10=0.04 avg60=1.62 avg300=1.69 total=52111963
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
func parsePressure(text string) (some, full float64) {
	for line := range strings.Lines(text) {
		_, total, ok := strings.Cut(strings.TrimSpace(line), " total=")
		if !ok {
			continue
		}
		v, err := strconv.ParseUint(total, 10, 64)
		switch {
		case err != nil:
		case strings.HasPrefix(line, "some "):
			some = float64(v) / 1e6
		case strings.HasPrefix(line, "full "):
			full = float64(v) / 1e6
		}
	}
	return some, full
}

// clock is what the kernel knows about the error of its clock.
type clock struct {
	offset       time.Duration
	maxError     time.Duration
	synchronized bool
}
