package nfs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// askV4 asks NFS 4 whether it lives, which minor versions it speaks, and for
// the size of the path.
func (a *attempt) askV4(ctx context.Context) {
	l := a.connect(ctx, nfs4, a.nfsPort(), nfs4Connect)
	if l == nil {
		return
	}
	defer l.close()
	if !l.null(ctx, programNFS, 4, nfs4Null) {
		return
	}
	if f := l.askMinors(ctx); !f.none() {
		a.services[nfs4].fault = f
		return
	}
	names, err := splitPath(a.pathV4())
	if err != nil {
		return // there is no path
	}
	defer a.measure(nfs4Size, time.Now())
	for _, v := range a.sizedBy() {
		size, err := l.size(ctx, v, names)
		if err != nil {
			a.read(v, size, faultOf("size by version "+string(v), err))
			continue
		}
		a.read(v, size, fault{})
	}
}

// pathV4 is the path by which NFS 4 knows the export, which may be another one
// than mountd's: that in the tree below the server's pseudo root.
func (a *attempt) pathV4() string { return cmp.Or(a.o.PathV4, a.target.path, a.o.Path) }

// askMinors finds out which minor versions are spoken. One that is not answers
// MINOR_VERS_MISMATCH; one that is answers anything else, as versions that want
// a session do to an operation outside of one.
func (l *line) askMinors(ctx context.Context) fault {
	defer l.a.measure(nfs4Minors, time.Now())
	for minor := range l.a.minors {
		c := newCompound(uint32(minor))
		c.add(opPutrootfh, "")
		r, err := l.send(ctx, c)
		if err == nil {
			err = r.next()
		}
		status, answers := errors.AsType[*statusError](err)
		if err != nil && !answers {
			return faultOf("ask for version 4."+string(rune('0'+minor)), err)
		}
		l.a.minors[minor] = err == nil || status.code != minorMismatch
	}
	l.a.debug("asked for minor versions", "4.0", l.a.minors[0], "4.1", l.a.minors[1], "4.2", l.a.minors[2])
	return fault{}
}

// sizedBy are the versions 4 by which the size is asked: all that are
// configured; of those that are not, the lowest that is spoken, since it costs
// the server least.
func (a *attempt) sizedBy() []version {
	spoken := func(v version) bool { return a.minors[v.minor()] }
	if len(a.o.Versions) == 0 {
		for _, v := range allVersions()[1:] {
			if spoken(v) {
				return []version{v}
			}
		}
		return nil
	}
	return slices.DeleteFunc(slices.Clone(a.o.Versions), func(v version) bool { return v == v3 || !spoken(v) })
}

// size asks for the size of a path by a version 4.
func (l *line) size(ctx context.Context, v version, names []string) (fileSystem, error) {
	if err := ctx.Err(); err != nil {
		return fileSystem{}, err
	}
	if err := l.reopen(ctx); err != nil {
		return fileSystem{}, err
	}
	if v == v40 {
		return again(ctx, func() (fileSystem, error) { return l.sizeWithoutSession(ctx, names) })
	}
	return l.sizeInSession(ctx, v.minor(), names)
}

// sizeWithoutSession asks by version 4.0, where it takes neither a client id
// nor any state.
func (l *line) sizeWithoutSession(ctx context.Context, names []string) (fileSystem, error) {
	c := newCompound(0)
	c.sizeOf(names)
	r, err := l.send(ctx, c)
	if err != nil {
		return fileSystem{}, err
	}
	return r.readSize()
}

// notSpoken is the fault of a version 4 that was asked for and is not spoken.
func notSpoken(v version) fault {
	return fault{reason: probe.Status, status: "version", cause: "version " + string(v) + " is not served"}
}
