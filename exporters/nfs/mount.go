package nfs

import (
	"cmp"
	"context"
	"errors"
	pathpkg "path"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/exporters/nfs/rpc"
	"github.com/colliehq/collie/exporters/nfs/xdr"
	"github.com/colliehq/collie/exporters/probe"
)

// rootHandle is what mountd gives for a path: how NFS 3 knows it.
type rootHandle struct {
	handle []byte
	fault  fault // why there is none
}

const (
	maxHandle  = 64   // FHSIZE3 of RFC 1813, section 2.3.3
	maxListed  = 4096 // exports that are read
	maxClients = 65536
	maxFlavors = 32
)

// exportList is what a server exports.
type exportList struct {
	known bool
	paths []string
	more  int // exports that were not read
}

// askMount asks rpcbind for mountd, and mountd whether it lives, what is
// exported, and for the handle of the path.
func (a *attempt) askMount(ctx context.Context, handle chan<- rootHandle) {
	root := rootHandle{}
	defer func() { handle <- root }()
	a.askRpcbind(ctx)
	port := cmp.Or(a.o.Ports.Mount, a.portOf(programMount, 3))
	if port == 0 {
		a.services[mountd].fault = a.noMountd()
		root.fault = a.services[mountd].fault
		return
	}
	l := a.connect(ctx, mountd, port, mountConnect)
	if l == nil {
		root.fault = a.services[mountd].fault
		return
	}
	defer l.close()
	if !l.null(ctx, programMount, 3, mountNull) {
		root.fault = a.services[mountd].fault
		return
	}
	path := a.pathV3()
	if path != "" {
		root = l.mnt(ctx, path)
	}
	if (a.o.MaxExports > 0 || root.fault.status == "access") && l.usable() {
		l.listExports(ctx)
	}
	if root.fault.status == "access" && a.exports.known && !a.exports.hold(path) {
		root.fault = fault{reason: probe.Status, status: "noent", cause: "mount " + path + " by version 3: noent (it is not among the exports that the server tells us)"}
	}
}

// hold tells whether the path is exported or lies below one that is. Servers
// answer "access" to who asks for another one, so as not to tell what there is.
func (e exportList) hold(path string) bool {
	path = pathpkg.Clean(path)
	return e.more > 0 || slices.ContainsFunc(e.paths, func(export string) bool {
		export = pathpkg.Clean(export)
		return path == export || strings.HasPrefix(path, strings.TrimSuffix(export, "/")+"/")
	})
}

// noMountd says why nobody knows where mountd listens.
func (a *attempt) noMountd() fault {
	const what = "find mountd, which NFS 3 needs: "
	s := a.services[rpcbind]
	switch {
	case !s.asked:
		return fault{reason: probe.Protocol, cause: what + "set ports.mount, or let ports.rpcbind be asked"}
	case !s.answered:
		return fault{reason: s.fault.reason, status: s.fault.status, cause: what + s.fault.cause + "; ports.mount does without rpcbind"}
	default:
		return fault{reason: probe.Status, status: "version", cause: what + "it is not registered with rpcbind"}
	}
}

// listExports asks for the list of exports.
func (l *line) listExports(ctx context.Context) {
	defer l.a.measure(mountExport, time.Now())
	d, err := l.call(ctx, mountProc(procExport), &xdr.Encoder{}, listAnswer)
	if err == nil {
		l.a.exports, err = readExports(d)
	}
	if err != nil {
		l.a.debug("the exports cannot be listed", "cause", plain(err))
	}
}

func mountProc(number uint32) rpc.Procedure {
	return rpc.Procedure{Program: programMount, Version: 3, Number: number}
}

// readExports reads what EXPORT answers (RFC 1813, section 5.2.5).
func readExports(d *xdr.Decoder) (exportList, error) {
	list := exportList{known: true}
	clients := 0
	for d.Bool() {
		path := d.String(maxPath)
		for d.Bool() {
			if clients++; clients > maxClients {
				d.Fail(errors.New("the lists of clients do not end"))
			}
			d.Opaque(maxName)
		}
		if d.Err() != nil {
			break
		}
		if len(list.paths) == maxListed {
			list.more++
			continue
		}
		list.paths = append(list.paths, path)
	}
	if d.Err() != nil {
		return exportList{}, d.Err()
	}
	return list, nil
}

// mnt asks for the handle of the path, and takes itself off the server's list
// of mounts again, whatever became of it.
func (l *line) mnt(ctx context.Context, path string) rootHandle {
	defer l.umnt(ctx, path)
	defer l.a.measure(mountMnt, time.Now())
	var args xdr.Encoder
	args.String(path)
	var root rootHandle
	d, err := l.call(ctx, mountProc(procMnt), &args, shortAnswer)
	if err == nil {
		root.handle, err = readMnt(d)
	}
	if err != nil {
		root.fault = faultOf("mount "+path+" by version 3", err)
	}
	l.a.debug("asked for the handle of the path", "path", path, "cause", root.fault.cause)
	return root
}

// readMnt reads what MNT answers (RFC 1813, section 5.2.1).
func readMnt(d *xdr.Decoder) ([]byte, error) {
	if code := d.Uint32(); code != 0 {
		return nil, &statusError{code: code}
	}
	handle := d.Opaque(maxHandle)
	if n := d.Uint32(); n > maxFlavors {
		d.Fail(errors.New("too many ways to authenticate"))
	}
	if d.Err() == nil && len(handle) == 0 {
		return nil, errors.New("the handle is empty")
	}
	return handle, d.Err()
}

// umnt takes us off the server's list of mounts (RFC 1813, section 5.2.3).
func (l *line) umnt(ctx context.Context, path string) {
	defer l.a.measure(mountUmnt, time.Now())
	ctx, cancel := l.a.cleanup(ctx)
	defer cancel()
	var args xdr.Encoder
	args.String(path)
	err := l.reopen(ctx)
	if err == nil {
		_, err = l.call(ctx, mountProc(procUmnt), &args, shortAnswer)
	}
	if err != nil {
		l.a.left()
		l.a.debug("the server may keep us on its list of mounts", "path", path, "cause", plain(err))
	}
}
