package nfs

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/colliehq/collie/exporters/nfs/xdr"
)

const sessionIDBytes = 16 // NFS4_SESSIONID_SIZE of RFC 8881, section 3.1

// session is the smallest one that NFS 4.1 allows: one slot, no callbacks.
type session struct {
	l        *line
	minor    uint32
	clientID uint64
	sequence uint32 // of CREATE_SESSION, then that of the slot
	id       []byte // nil: not made

	hasClient bool
}

// sizeInSession asks for the size by version 4.1 or later: a client id and a
// session, the question, and both are put away again, whatever happened.
func (l *line) sizeInSession(ctx context.Context, minor uint32, names []string) (fileSystem, error) {
	owner, giveBack := l.a.x.owners.take()
	defer giveBack()
	s := &session{l: l, minor: minor}
	defer s.end(ctx)
	if err := s.exchangeID(ctx, fmt.Sprintf("%s %d", owner, l.a.o.UID)); err != nil {
		return fileSystem{}, &stepError{"make a client id", err}
	}
	if err := s.create(ctx); err != nil {
		return fileSystem{}, &stepError{"make a session", err}
	}
	return again(ctx, func() (fileSystem, error) { return s.size(ctx, names) })
}

// exchangeID introduces us (RFC 8881, section 18.35).
func (s *session) exchangeID(ctx context.Context, owner string) error {
	var verifier [8]byte
	_, _ = rand.Read(verifier[:]) // never fails
	c := newCompound(s.minor)
	e := c.add(opExchangeID, "")
	e.Fixed(verifier[:])
	e.String(owner)
	e.Uint32(0) // flags
	e.Uint32(0) // state protection: SP4_NONE
	e.Uint32(0) // what implementation we are: not told
	r, err := s.l.send(ctx, c)
	if err != nil {
		return err
	}
	if err := r.next(); err != nil {
		return err
	}
	s.clientID, s.sequence = r.Uint64(), r.Uint32()
	s.hasClient = r.Err() == nil
	return r.Err()
}

// create makes the session (RFC 8881, section 18.36).
func (s *session) create(ctx context.Context) error {
	c := newCompound(s.minor)
	e := c.add(opCreateSession, "")
	e.Uint64(s.clientID)
	e.Uint32(s.sequence)
	e.Uint32(0)                   // flags: neither kept on disk nor used for callbacks
	channel(e, 8<<10, maxNames+8) // forth
	channel(e, 4<<10, 2)          // back
	e.Uint32(0x40000000)          // program of callbacks, which do not come
	e.Uint32(1)                   // ways in which callbacks authenticate
	e.Uint32(0)                   // AUTH_NONE
	r, err := s.l.send(ctx, c)
	if err != nil {
		return err
	}
	if err := r.next(); err != nil {
		return err
	}
	s.id, s.sequence = r.Fixed(sessionIDBytes), 0
	return r.Err()
}

// channel writes what a channel of the session is to carry (channel_attrs4).
func channel(e *xdr.Encoder, bytes, operations uint32) {
	for _, v := range []uint32{0 /* padding */, bytes, bytes, bytes, operations, 1 /* requests at once */, 0 /* RDMA */} {
		e.Uint32(v)
	}
}

// size asks for the size in the session (RFC 8881, section 18.46, SEQUENCE).
func (s *session) size(ctx context.Context, names []string) (fileSystem, error) {
	s.sequence++
	c := newCompound(s.minor)
	e := c.add(opSequence, "")
	e.Fixed(s.id)
	e.Uint32(s.sequence)
	e.Uint32(0) // slot
	e.Uint32(0) // highest slot
	e.Uint32(0) // not to be cached
	c.sizeOf(names)
	r, err := s.l.send(ctx, c)
	if err != nil {
		return fileSystem{}, err
	}
	if err := r.next(); err != nil {
		return fileSystem{}, err
	}
	r.Fixed(sessionIDBytes)
	r.Fixed(5 * 4) // sequence, slot, highest slot, highest wanted slot, flags
	return r.readSize()
}

// end destroys the session and the client id (RFC 8881, sections 18.37 and
// 18.50), in a little time of its own if the deadline has passed.
func (s *session) end(ctx context.Context) {
	if !s.hasClient {
		return
	}
	defer s.l.a.measure(nfs4Destroy, time.Now())
	ctx, cancel := s.l.a.cleanup(ctx)
	defer cancel()
	err := s.l.reopen(ctx)
	if err == nil && s.id != nil {
		c := newCompound(s.minor)
		c.add(opDestroySession, "").Fixed(s.id)
		err = s.l.must(ctx, c)
	}
	if err == nil {
		c := newCompound(s.minor)
		c.add(opDestroyClient, "").Uint64(s.clientID)
		err = s.l.must(ctx, c)
	}
	if err != nil {
		s.l.a.left()
		s.l.a.debug("the server may keep our client id until its lease ends", "cause", plain(err))
	}
}

// must sends a compound of one operation whose result is its status.
func (l *line) must(ctx context.Context, c *compound) error {
	r, err := l.send(ctx, c)
	if err != nil {
		return err
	}
	return r.next()
}
