package nfs

import (
	"context"
	"errors"
	"fmt"

	"github.com/colliehq/collie/exporters/nfs/rpc"
	"github.com/colliehq/collie/exporters/nfs/xdr"
)

// Operations of NFS 4 (RFC 7530, section 16; RFC 8881, section 18).
const (
	opGetattr        = 9
	opLookup         = 15
	opPutrootfh      = 24
	opExchangeID     = 42
	opCreateSession  = 43
	opDestroySession = 44
	opSequence       = 53
	opDestroyClient  = 57
)

// compound is a row of operations in one call.
type compound struct {
	minor uint32
	ops   []uint32
	names []string // what each operation is about, for people
	body  xdr.Encoder
}

func newCompound(minor uint32) *compound { return &compound{minor: minor} }

// add adds an operation; its arguments are written to body next.
func (c *compound) add(op uint32, name string) *xdr.Encoder {
	c.ops, c.names = append(c.ops, op), append(c.names, name)
	c.body.Uint32(op)
	return &c.body
}

// send sends the compound. What is given reads the results, operation by
// operation.
func (l *line) send(ctx context.Context, c *compound) (*results, error) {
	var args xdr.Encoder
	args.String("") // tag
	args.Uint32(c.minor)
	args.Uint32(uint32(len(c.ops)))
	args.Fixed(c.body.Bytes())
	d, err := l.call(ctx, rpc.Procedure{Program: programNFS, Version: 4, Number: procCompound}, &args, shortAnswer)
	if err != nil {
		return nil, err
	}
	return readCompound(d, c)
}

// results are the results of a compound.
type results struct {
	*xdr.Decoder
	c    *compound
	left uint32
	at   int
}

const maxTag = 1024

// readCompound reads what comes before the first result (RFC 7530, section
// 16.2.3). A compound that was refused as a whole has none.
func readCompound(d *xdr.Decoder, c *compound) (*results, error) {
	status := d.Uint32()
	d.Opaque(maxTag)
	r := &results{Decoder: d, c: c, left: d.Uint32()}
	if d.Err() == nil && uint64(r.left) > uint64(len(c.ops)) {
		return nil, fmt.Errorf("%d results of %d operations", r.left, len(c.ops))
	}
	if d.Err() == nil && r.left == 0 && status != 0 {
		return nil, &statusError{code: status}
	}
	return r, d.Err()
}

// next begins the result of the next operation; the error is its status.
func (r *results) next() error {
	if r.left == 0 {
		return errors.Join(r.Err(), errors.New("fewer results than operations"))
	}
	op, status := r.Uint32(), r.Uint32()
	switch {
	case r.Err() != nil:
		return r.Err()
	case op != r.c.ops[r.at]:
		return fmt.Errorf("the result of operation %d where that of %d belongs", op, r.c.ops[r.at])
	case status != 0:
		return &statusError{doing: r.c.names[r.at], code: status}
	}
	r.at++
	r.left--
	return nil
}

// sizeOf adds the operations that ask for the size of a path.
func (c *compound) sizeOf(names []string) {
	c.add(opPutrootfh, "")
	for _, name := range names {
		c.add(opLookup, fmt.Sprintf("at %q", name)).String(name)
	}
	e := c.add(opGetattr, "")
	e.Uint32(2) // words of the bitmap
	e.Uint32(wantedFiles)
	e.Uint32(wantedSpace)
}

// The attributes that tell sizes, as bits of the first two words of a bitmap
// (RFC 7530, section 5.8): files_avail 21, files_free 22, files_total 23,
// space_avail 42, space_free 43, space_total 44.
const (
	wantedFiles = 1<<21 | 1<<22 | 1<<23
	wantedSpace = 1<<(42-32) | 1<<(43-32) | 1<<(44-32)

	maxBitmap     = 8
	maxAttributes = 1024
)

// readSize reads the results of sizeOf.
func (r *results) readSize() (fileSystem, error) {
	for r.left > 1 {
		if err := r.next(); err != nil {
			return fileSystem{}, err
		}
	}
	if err := r.next(); err != nil {
		return fileSystem{}, err
	}
	return readAttributes(r.Decoder)
}

// readAttributes reads the attributes that were asked for. A server leaves out
// those that it does not have; values come in the order of their numbers.
func readAttributes(d *xdr.Decoder) (fileSystem, error) {
	words := d.Uint32()
	if words > maxBitmap {
		return fileSystem{}, fmt.Errorf("%d words of a bitmap", words)
	}
	var bitmap [maxBitmap]uint32
	for i := range words {
		bitmap[i] = d.Uint32()
	}
	given := [maxBitmap]uint32{bitmap[0] &^ wantedFiles, bitmap[1] &^ wantedSpace}
	copy(given[2:], bitmap[2:])
	if given != [maxBitmap]uint32{} {
		return fileSystem{}, errors.New("attributes that were not asked for")
	}
	values := xdr.NewDecoder(d.Opaque(maxAttributes))
	var s fileSystem
	for bit, field := range []*uint64{&s.filesAvail, &s.filesFree, &s.files} {
		if bitmap[0]&(1<<(21+bit)) != 0 {
			*field = values.Uint64()
		}
	}
	for bit, field := range []*uint64{&s.avail, &s.free, &s.total} {
		if bitmap[1]&(1<<(42-32+bit)) != 0 {
			*field = values.Uint64()
		}
	}
	switch err := errors.Join(d.Err(), values.Err()); {
	case err != nil:
		return fileSystem{}, err
	case bitmap[1]&wantedSpace != wantedSpace:
		return fileSystem{}, &statusError{doing: "the server does not tell the size", code: 10004}
	}
	return s, nil
}
