package rpcserver

import (
	"fmt"
	"slices"
)

// Statuses of NFS 4 that the simulated server uses by itself.
const (
	noEnt           = 2
	minorMismatch   = 10021
	staleClientID   = 10022
	badSession      = 10052
	notInSession    = 10071
	clientIDBusy    = 10074
	misordered      = 10063
	illegal         = 10044
	sessionIDLength = 16
)

// state is where a COMPOUND stands.
type state struct {
	minor     uint32
	path      string
	inSession bool
	silent    bool
	raw       func(Call) []byte
	results   []byte
	count     uint32
	status    uint32
}

// compound does the operations of a COMPOUND until one says no (RFC 7530,
// section 16.2; RFC 8881, section 16.2).
func (n *NFS) compound(c Call) []byte {
	in := NewReader(c.Args)
	in.Opaque() // tag
	s := &state{minor: in.U32()}
	if !slices.Contains(n.Minors, s.minor) {
		return Accept(c, U32(minorMismatch, 0, 0))
	}
	for range in.U32() {
		op := in.U32()
		result := n.operation(s, op, in)
		s.count++
		s.results = slices.Concat(s.results, U32(op, s.status), result)
		if s.status != 0 {
			break
		}
	}
	switch {
	case s.raw != nil:
		return s.raw(c)
	case s.silent:
		return nil
	}
	return Accept(c, U32(s.status, 0, s.count), s.results)
}

func (n *NFS) operation(s *state, op uint32, in *Reader) []byte {
	names := map[uint32]string{
		9: "getattr", 15: "lookup", 24: "putrootfh", 42: "exchange_id", 43: "create_session",
		44: "destroy_session", 53: "sequence", 57: "destroy_clientid",
	}
	r := n.react(names[op])
	s.silent, s.status = s.silent || r.Silent, r.Status
	if r.Raw != nil {
		s.raw = r.Raw
	}
	if s.status != 0 {
		return nil
	}
	if s.minor > 0 && !s.inSession && op < 42 {
		s.status = notInSession
		return nil
	}
	switch op {
	case 24:
		s.path = "/"
	case 15:
		if s.path = cleaned(s.path + "/" + in.Opaque()); !n.exists(s.path) {
			s.status = noEnt
		}
	case 9:
		return n.getattr(in)
	case 42:
		return n.exchangeID(in)
	case 43:
		return n.createSession(s, in)
	case 53:
		return n.sequence(s, in)
	case 44:
		n.destroySession(s, string(in.Fixed(sessionIDLength)))
	case 57:
		n.destroyClient(s, in.U64())
	default:
		s.status = illegal
	}
	return nil
}

func (n *NFS) getattr(in *Reader) []byte {
	words := make([]uint32, in.U32())
	for i := range words {
		words[i] = in.U32()
	}
	values := U64(n.FilesAvail, n.FilesFree, n.Files, n.Avail, n.Free, n.Total)
	return slices.Concat(U32(2), U32(words...), Opaque(string(values)))
}

func (n *NFS) exchangeID(in *Reader) []byte {
	in.Fixed(8) // verifier
	owner := in.Opaque()
	n.nextID++
	for id, c := range n.clients {
		if c.owner == owner {
			n.replaced[n.nextID] = id
		}
	}
	n.clients[n.nextID] = &client{owner: owner, sessions: map[string]bool{}}
	return slices.Concat(U64(n.nextID), U32(1, 0, 0), U64(0), Opaque("owner"), Opaque("scope"), U32(0))
}

func (n *NFS) createSession(s *state, in *Reader) []byte {
	id := in.U64()
	c := n.clients[id]
	if c == nil {
		s.status = staleClientID
		return nil
	}
	in.U32() // sequence
	in.U32() // flags
	forth, back := in.Fixed(7*4), in.Fixed(7*4)
	c.confirmed = true
	delete(n.clients, n.replaced[id])
	session := fmt.Sprintf("session %08d", id)
	c.sessions[session] = true
	return slices.Concat([]byte(session), U32(1, 0), forth, back)
}

func (n *NFS) sequence(s *state, in *Reader) []byte {
	session := string(in.Fixed(sessionIDLength))
	sequence := in.U32()
	in.Fixed(3 * 4)
	switch {
	case n.owner(session) == nil:
		s.status = badSession
		return nil
	case sequence == 0:
		s.status = misordered
		return nil
	}
	s.inSession = true
	return slices.Concat([]byte(session), U32(sequence, 0, 0, 0, 0))
}

func (n *NFS) owner(session string) *client {
	for _, c := range n.clients {
		if c.sessions[session] {
			return c
		}
	}
	return nil
}

func (n *NFS) destroySession(s *state, session string) {
	c := n.owner(session)
	if c == nil {
		s.status = badSession
		return
	}
	delete(c.sessions, session)
}

func (n *NFS) destroyClient(s *state, id uint64) {
	c := n.clients[id]
	switch {
	case c == nil:
		s.status = staleClientID
	case len(c.sessions) > 0:
		s.status = clientIDBusy
	default:
		delete(n.clients, id)
	}
}
