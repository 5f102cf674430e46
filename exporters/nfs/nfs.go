// Package nfs looks at NFS servers by RPC, without mounting anything and
// without root: whether rpcbind, mountd and NFS of versions 3 and 4 answer, what
// is exported, and how large and how full an export is.
//
// A listening port is not enough: a stopped server accepts connections. So each
// service has two results, that the connection was made and that procedure NULL
// was answered. The services are asked at the same time, each over a connection
// of its own, so that one which hangs does not hide the others.
//
// The protocols are RFC 1833 (rpcbind), RFC 1813 (NFS 3 and MOUNT 3), RFC 7530
// (NFS 4.0) and RFC 8881 (NFS 4.1).
package nfs

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/probe"
)

// Options of a NFS.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// NFS is this exporter in one process; one is used through every reload.
type NFS struct {
	machine string // how we introduce ourselves
	owners  *owners
}

// New returns a NFS.
func New(Options) *NFS {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return &NFS{machine: cmp.Or(host, "collie"), owners: newOwners()}
}

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *NFS) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "nfs", Build: x.build}}
}

// owners gives out the names of NFS 4.1 clients. No two probes use one at the
// same time, but each is used again: what a server still keeps of a probe that
// could not clean up is replaced by the next one of that name (RFC 8881,
// section 18.35.4), instead of piling up.
type owners struct {
	process string // differs from one run of Collie to the next

	mu   sync.Mutex
	free []int
	made int
}

func newOwners() *owners {
	return &owners{process: rand.Text()}
}

// take gives a name, and the function that gives it back.
func (o *owners) take() (name string, giveBack func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.made
	if last := len(o.free) - 1; last >= 0 {
		n, o.free = o.free[last], o.free[:last]
	} else {
		o.made++
	}
	return fmt.Sprintf("collie %s %d", o.process, n), func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.free = append(o.free, n)
	}
}
