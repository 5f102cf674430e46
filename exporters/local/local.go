// Package local looks at the machine that Collie runs on: its mounted file
// systems and its load, memory and clock.
//
// It never hangs on a dead mount. Which mounts there are is read from
// /proc/self/mountinfo; how full they are is asked by a helper process, with at
// most one call out per mount. A call that does not come back in a second costs
// the probe that second once: from then on the last sizes are served together
// with stuck=1, until the call returns.
//
// The helper is this same program, started again. Its main function must call
// MaybeHelper first.
package local

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/probe"
)

// Options say where a Local looks. The zero value is the machine itself.
type Options struct {
	ProcPath string                // where procfs is mounted; "" is /proc
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about the helper
}

// Local knows this machine's mounts, and the last that was seen of each.
type Local struct {
	proc  string
	asker asker
	cpus  int
	clock func() (clock, error)

	mu     sync.Mutex // guards what follows
	table  *table
	sights map[sightKey]*sight
}

// New returns a Local. Use one for the whole life of the process, through every
// reload: it remembers which mounts hang. Close ends its helper.
func New(o Options) *Local {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return newLocal(o, newAsker(log, o.Registry))
}

func newLocal(o Options, a asker) *Local {
	if o.ProcPath == "" {
		o.ProcPath = "/proc"
	}
	return &Local{proc: o.ProcPath, asker: a, cpus: runtime.NumCPU(), clock: readClock, sights: map[sightKey]*sight{}}
}

// Kinds returns the kinds of probe that l offers, the visible list of this package.
func (l *Local) Kinds() []probe.Kind {
	return []probe.Kind{
		{Name: "filesystem", Build: l.buildFilesystem},
		{Name: "machine", Build: l.buildMachine},
	}
}

// Close ends the helper. No probe may run any more.
func (l *Local) Close() error { return l.asker.close() }

// read returns the text of a file below /proc. The kernel's files are small;
// one that cannot be had on this machine is "".
func (l *Local) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(l.proc, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}
