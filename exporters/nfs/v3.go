package nfs

import (
	"cmp"
	"context"
	"time"

	"github.com/colliehq/collie/exporters/nfs/rpc"
	"github.com/colliehq/collie/exporters/nfs/xdr"
)

// askV3 asks NFS 3 whether it lives, and for the size of the path once mountd
// has given its handle.
func (a *attempt) askV3(ctx context.Context, handle <-chan rootHandle) {
	l := a.connect(ctx, nfs3, a.nfsPort(), nfs3Connect)
	if l == nil {
		return
	}
	defer l.close()
	if !l.null(ctx, programNFS, 3, nfs3Null) || a.pathV3() == "" {
		return
	}
	root := <-handle // comes when ctx ends at the latest
	if !root.fault.none() {
		a.read(v3, fileSystem{}, root.fault)
		return
	}
	defer a.measure(nfs3Size, time.Now())
	size, err := again(ctx, func() (fileSystem, error) { return l.fsstat(ctx, root.handle) })
	if err != nil {
		a.read(v3, size, faultOf("size by version 3", err))
		return
	}
	a.read(v3, size, fault{})
}

// pathV3 is the path by which mountd knows the export.
func (a *attempt) pathV3() string { return cmp.Or(a.target.path, a.o.Path) }

// fsstat asks for the size of the file system behind a handle.
func (l *line) fsstat(ctx context.Context, handle []byte) (fileSystem, error) {
	var args xdr.Encoder
	args.Opaque(handle)
	d, err := l.call(ctx, rpc.Procedure{Program: programNFS, Version: 3, Number: procFSStat}, &args, shortAnswer)
	if err != nil {
		return fileSystem{}, err
	}
	return readFSStat(d)
}

const fattr3Bytes = 84 // of RFC 1813, section 2.3.5

// readFSStat reads what FSSTAT answers (RFC 1813, section 3.3.18).
func readFSStat(d *xdr.Decoder) (fileSystem, error) {
	if code := d.Uint32(); code != 0 {
		return fileSystem{}, &statusError{code: code}
	}
	if d.Bool() {
		d.Fixed(fattr3Bytes)
	}
	s := fileSystem{
		total: d.Uint64(), free: d.Uint64(), avail: d.Uint64(),
		files: d.Uint64(), filesFree: d.Uint64(), filesAvail: d.Uint64(),
	}
	d.Uint32() // for how many seconds it will hold
	if d.Err() != nil {
		return fileSystem{}, d.Err()
	}
	return s, nil
}

// A server may ask to come again (NFS3ERR_JUKEBOX, NFS4ERR_DELAY).
const (
	retries    = 3
	retryPause = 50 * time.Millisecond // and twice as long each time
)

// again asks once more where the server says that it needs time.
func again(ctx context.Context, ask func() (fileSystem, error)) (fileSystem, error) {
	pause := retryPause
	for range retries {
		size, err := ask()
		if !isDelay(err) || !sleep(ctx, pause) {
			return size, err
		}
		pause *= 2
	}
	return ask()
}
