package local

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/units"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// filesystemOptions are a module's options under "filesystem".
type filesystemOptions struct {
	MinFreeRatio       ratio          `yaml:"min_free_ratio"`
	MinFreeBytes       size           `yaml:"min_free_bytes"`
	MinFreeInodesRatio ratio          `yaml:"min_free_inodes_ratio"`
	ExpectWritable     *bool          `yaml:"expect_writable"`
	PointsExclude      *regexp.Regexp `yaml:"mount_points_exclude"`
	TypesExclude       *regexp.Regexp `yaml:"fs_types_exclude"`
	Tmpfs              bool           `yaml:"tmpfs"`
}

func (l *Local) buildFilesystem(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	return l.decodeFilesystem(node, bad).probe
}

func (l *Local) decodeFilesystem(node *yaml.Node, bad func(line int, format string, args ...any)) filesystem {
	o := filesystemOptions{
		PointsExclude: regexp.MustCompile(defaultPointsExclude),
		TypesExclude:  regexp.MustCompile(defaultTypesExclude),
	}
	strictyaml.Decode(node, &o, told(bad))
	return filesystem{local: l, options: o, choose: chooser{points: o.PointsExclude, types: o.TypesExclude, tmpfs: o.Tmpfs}}
}

// machineOptions are a module's options under "machine".
type machineOptions struct {
	MaxClockOffset          time.Duration `yaml:"max_clock_offset"`
	MaxClockError           time.Duration `yaml:"max_clock_error"`
	ClockSynchronized       bool          `yaml:"clock_synchronized"`
	MinMemoryAvailableRatio ratio         `yaml:"min_memory_available_ratio"`
	MaxLoadPerCPU           positive      `yaml:"max_load_per_cpu"`
}

func (l *Local) buildMachine(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	var o machineOptions
	strictyaml.Decode(node, &o, told(bad))
	return machine{local: l, options: o}.probe
}

// told turns a place and a sentence into one sentence.
func told(bad func(line int, format string, args ...any)) strictyaml.Bad {
	return func(line int, path, message string) {
		if path == "" {
			bad(line, "%s", message)
			return
		}
		bad(line, "%s: %s", path, message)
	}
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

// positive is a number of at least 0.
type positive float64

// UnmarshalText reads a number.
func (p *positive) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v >= 0) {
		return errors.New("must be a number of at least 0")
	}
	*p = positive(v)
	return nil
}
