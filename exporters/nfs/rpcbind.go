package nfs

import (
	"context"
	"errors"
	"time"

	"github.com/colliehq/collie/exporters/nfs/rpc"
	"github.com/colliehq/collie/exporters/nfs/xdr"
)

// registration is a program that rpcbind knows.
type registration struct{ program, version, protocol, port uint32 }

const (
	protocolTCP      = 6
	maxRegistrations = 1024
)

// askRpcbind asks which programs are registered. That it is absent, or does not
// know NFS, is information and not a failure: servers of version 4 need none.
// It may take a third of the time, since mountd's port has to wait for it: many
// firewalls drop what is sent to it.
func (a *attempt) askRpcbind(ctx context.Context) {
	s := &a.services[rpcbind]
	if !s.asked {
		return
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/3)
		defer cancel()
	}
	l := a.connect(ctx, rpcbind, a.o.Ports.Rpcbind, rpcbindConnect)
	if l == nil {
		a.debug("rpcbind is not there", "cause", s.fault.cause)
		return
	}
	defer l.close()
	defer a.measure(rpcbindDump, time.Now())
	list, err := l.dump(ctx)
	if err != nil && !l.Broken() {
		list, err = l.getport(ctx)
	}
	if s.answered = err == nil; !s.answered {
		s.fault = faultOf("list of rpcbind", err)
	}
	a.registered = list
	a.debug("asked rpcbind", "programs", len(list), "cause", s.fault.cause)
}

// dump asks for the whole list (RFC 1833, section 3.2, PMAPPROC_DUMP).
func (l *line) dump(ctx context.Context) ([]registration, error) {
	d, err := l.Call(ctx, rpc.Procedure{Program: programRpcbind, Version: 2, Number: procDump}, nil, nil, listAnswer)
	if err != nil {
		return nil, err
	}
	return readDump(d)
}

func readDump(d *xdr.Decoder) ([]registration, error) {
	var list []registration
	for d.Bool() {
		if len(list) == maxRegistrations {
			return nil, errors.New("the list of registered programs does not end")
		}
		list = append(list, registration{d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32()})
	}
	return list, d.Err()
}

// getport asks for each program by itself, where the list is not told.
func (l *line) getport(ctx context.Context) ([]registration, error) {
	var list []registration
	for _, r := range []registration{{programMount, 3, protocolTCP, 0}, {programNFS, 3, protocolTCP, 0}, {programNFS, 4, protocolTCP, 0}} {
		var args xdr.Encoder
		for _, v := range []uint32{r.program, r.version, r.protocol, 0} {
			args.Uint32(v)
		}
		d, err := l.Call(ctx, rpc.Procedure{Program: programRpcbind, Version: 2, Number: procGetport}, nil, args.Bytes(), shortAnswer)
		if err != nil {
			return nil, err
		}
		if r.port = d.Uint32(); d.Err() != nil {
			return nil, d.Err()
		}
		if r.port != 0 {
			list = append(list, r)
		}
	}
	return list, nil
}

// portOf is where rpcbind says that a program listens, 0 if it does not know.
func (f *findings) portOf(program, vers uint32) uint16 {
	for _, r := range f.registered {
		if r.program == program && r.version == vers && r.protocol == protocolTCP && r.port > 0 && r.port < 1<<16 {
			return uint16(r.port)
		}
	}
	return 0
}
