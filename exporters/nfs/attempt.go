package nfs

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/nfs/rpc"
	"github.com/colliehq/collie/exporters/nfs/xdr"
	"github.com/colliehq/collie/exporters/probe"
)

// Programs, and procedures that are called (RFC 1833, section 3; RFC 1813,
// sections 3.3 and 5.2; RFC 7530, section 16).
const (
	programRpcbind = 100000
	programNFS     = 100003
	programMount   = 100005

	procNull = 0

	procGetport = 3 // of rpcbind
	procDump    = 4

	procMnt    = 1 // of mountd
	procUmnt   = 3
	procExport = 5

	procFSStat   = 18 // of NFS 3
	procCompound = 1  // of NFS 4
)

// What one answer may be long, in bytes.
const (
	shortAnswer = 8 << 10
	listAnswer  = 1 << 20 // of rpcbind and mountd, whose lists have no end of their own
)

// serviceID names a service of the server.
type serviceID int

// The services.
const (
	rpcbind serviceID = iota
	mountd
	nfs3
	nfs4
	services // how many
)

func (s serviceID) String() string { return [...]string{"rpcbind", "mount", "nfs3", "nfs4"}[s] }

// service is what was learned of one.
type service struct {
	asked     bool
	port      uint16 // 0: not known
	connected bool   // a TCP connection was made
	answered  bool   // procedure NULL (of rpcbind: the list) was answered
	fault     fault  // why it did not come that far
}

// fileSystem is the size of an export.
type fileSystem struct {
	total, free, avail           uint64 // bytes
	files, filesFree, filesAvail uint64
}

// reading is what asking for the size by one version gave.
type reading struct {
	done  bool
	size  fileSystem
	fault fault
}

// phase is a part of a probe whose duration is told.
type phase int

// The phases.
const (
	resolving phase = iota
	rpcbindConnect
	rpcbindDump
	mountConnect
	mountNull
	mountExport
	mountMnt
	mountUmnt
	nfs3Connect
	nfs3Null
	nfs3Size
	nfs4Connect
	nfs4Null
	nfs4Minors
	nfs4Size
	nfs4Destroy
	phases // how many
)

func (p phase) String() string {
	return [...]string{
		"resolve", "rpcbind_connect", "rpcbind_dump", "mount_connect", "mount_null", "mount_export", "mount_mnt", "mount_umnt",
		"nfs3_connect", "nfs3_null", "nfs3_size", "nfs4_connect", "nfs4_null", "nfs4_minors", "nfs4_size", "nfs4_destroy",
	}[p]
}

// minors is how many minor versions of NFS 4 there are.
const minors = 3

// findings are what one attempt learned.
type findings struct {
	addr       netip.Addr
	fault      fault // before anything could be asked
	services   [services]service
	minors     [minors]bool
	sizes      map[version]reading
	exports    exportList
	registered []registration // with rpcbind
	took       [phases]time.Duration
	leftovers  bool // the server may still keep something of this probe
	cost       rpc.Cost
	conns      int

	usedPrivileged bool // connections were made from a port below 1024
}

// attempt asks all services once. Its goroutines write to parts of the findings
// that are their own, and to the others under mu.
type attempt struct {
	x          *NFS
	req        probe.Request
	o          options
	target     target
	privileged bool
	reserve    time.Duration // for cleaning up behind the deadline

	mu sync.Mutex
	findings
}

// run asks the services at the same time, until ctx ends.
func (a *attempt) run(ctx context.Context) {
	a.services = asked(a.o)
	a.usedPrivileged = a.privileged
	a.sizes = map[version]reading{}
	start := time.Now()
	addr, err := a.o.resolve(ctx, a.req.Resolver, a.target.host)
	a.measure(resolving, start)
	if err != nil {
		a.fault = faultOf("resolve "+a.target.host, err)
		return
	}
	a.addr = addr
	a.debug("resolved the server", "name", a.target.host, "address", addr, "took", a.took[resolving])
	handle := make(chan rootHandle, 1)
	var all sync.WaitGroup
	if a.o.Versions.asks(v3) {
		all.Go(func() { a.askMount(ctx, handle) })
		all.Go(func() { a.askV3(ctx, handle) })
	}
	if a.o.Versions.asksV4() {
		all.Go(func() { a.askV4(ctx) })
	}
	all.Wait()
}

// nfsPort is where NFS listens: as the target says, or as the module does.
func (a *attempt) nfsPort() uint16 { return cmp.Or(a.target.port, a.o.Ports.NFS) }

// read notes what asking for the size by a version gave.
func (a *attempt) read(v version, size fileSystem, f fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sizes[v] = reading{done: f.none(), size: size, fault: f}
	a.debug("asked for the size", "version", v, "total", size.total, "free", size.free, "avail", size.avail, "cause", f.cause)
}

// measure notes how long a phase took.
func (a *attempt) measure(p phase, since time.Time) { a.took[p] = time.Since(since) }

// line is a connection to a service.
type line struct {
	*rpc.Client
	a   *attempt
	id  serviceID
	who *rpc.Identity
}

// connect connects to a service. On failure the service says why.
func (a *attempt) connect(ctx context.Context, id serviceID, port uint16, p phase) *line {
	defer a.measure(p, time.Now())
	s := &a.services[id]
	s.port = port
	l := &line{a: a, id: id, who: &rpc.Identity{Machine: a.x.machine, UID: a.o.UID, GID: a.o.GID}}
	if err := l.open(ctx); err != nil {
		s.fault = faultOf("connect to "+id.String()+" at "+netip.AddrPortFrom(a.addr, port).String(), err)
		return nil
	}
	s.connected = true
	return l
}

// open makes the connection.
func (l *line) open(ctx context.Context) error {
	conn, err := l.a.dial(ctx, netip.AddrPortFrom(l.a.addr, l.a.services[l.id].port))
	if err != nil {
		return err
	}
	l.Client = rpc.NewClient(conn)
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	l.a.conns++
	return nil
}

// usable tells whether further calls can be made.
func (l *line) usable() bool { return l.Client != nil && !l.Broken() }

// close closes the connection, if there is one, and adds what it cost.
func (l *line) close() {
	if l.Client == nil {
		return
	}
	l.Close()
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	l.a.cost.Add(l.Cost())
	l.Client = nil
}

// reopen makes a new connection in place of one that is broken.
func (l *line) reopen(ctx context.Context) error {
	if l.usable() {
		return nil
	}
	l.close()
	return l.open(ctx)
}

// null calls procedure NULL, which shows that the program lives (RFC 5531,
// section 12), without credentials.
func (l *line) null(ctx context.Context, program, vers uint32, p phase) bool {
	defer l.a.measure(p, time.Now())
	_, err := l.Call(ctx, rpc.Procedure{Program: program, Version: vers, Number: procNull}, nil, nil, shortAnswer)
	s := &l.a.services[l.id]
	if s.answered = err == nil; !s.answered {
		s.fault = faultOf("NULL of "+l.id.String(), err)
	}
	l.a.debug("asked whether it lives", "service", l.id.String(), "answered", s.answered, "cause", s.fault.cause)
	return s.answered
}

// call calls a procedure of the service as our user.
func (l *line) call(ctx context.Context, p rpc.Procedure, args *xdr.Encoder, limit int) (*xdr.Decoder, error) {
	return l.Call(ctx, p, l.who, args.Bytes(), limit)
}

// cleanup gives the context in which something is put away on the server: a
// little time of its own, also when the deadline has passed or the scraper left.
func (a *attempt) cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), a.reserve)
}

// left notes that something could not be put away.
func (a *attempt) left() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leftovers = true
}

// debug tells what the probe does, if anyone reads it.
func (a *attempt) debug(message string, args ...any) {
	if a.req.Log.Enabled(context.Background(), slog.LevelDebug) {
		a.req.Log.Debug(message, args...) //nolint:sloglint // constants, of its callers
	}
}

// sleep waits, or returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
