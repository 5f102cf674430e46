// Package rpcserver is an ONC RPC server for tests that answers as it is told:
// rightly, wrongly, or not at all. It writes and reads the protocol (RFC 5531)
// by itself, so that a mistake of Collie's is not made twice.
package rpcserver

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
)

// Call is a call that came in.
type Call struct {
	XID, Program, Version, Procedure uint32
	Args                             []byte
}

// Server serves on a port of loopback until Close.
type Server struct {
	Port uint16

	listener net.Listener
	answer   func(Call) []byte
	wait     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
	accepted int
}

// Start starts a server. What answer gives for a call is sent as it is, record
// mark included: Accept and its like make it. Nil sends nothing.
func Start(answer func(Call) []byte) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return nil, err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, errors.Join(errors.New("not a TCP address"), l.Close())
	}
	s := &Server{Port: uint16(addr.Port), listener: l, answer: answer, conns: map[net.Conn]bool{}}
	s.wait.Go(s.accept)
	return s, nil
}

// Accepted is how many connections were made.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Close ends the server and its connections.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.accepted++
		s.mu.Unlock()
		s.wait.Go(func() { s.serve(conn) })
	}
}

func (s *Server) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}()
	for {
		call, err := read(conn)
		if err != nil {
			return
		}
		if _, err := conn.Write(s.answer(call)); err != nil {
			return
		}
	}
}

// read reads a call that comes in one fragment, as Collie sends it.
func read(r io.Reader) (Call, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Call{}, err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[:])&^(1<<31))
	if _, err := io.ReadFull(r, message); err != nil {
		return Call{}, err
	}
	in := Reader{message}
	c := Call{XID: in.U32()}
	in.U32() // CALL
	in.U32() // version of RPC
	c.Program, c.Version, c.Procedure = in.U32(), in.U32(), in.U32()
	for range 2 { // credential, verifier
		in.U32()
		in.Opaque()
	}
	c.Args = in.rest
	return c, nil
}

// Record puts the mark of a whole record before a message.
func Record(message []byte) []byte {
	return append(U32(1<<31|uint32(len(message))), message...)
}

// Accept answers a call with results.
func Accept(c Call, results ...[]byte) []byte {
	return Record(append(U32(c.XID, 1, 0, 0, 0, 0), slices.Concat(results...)...))
}

// Refuse answers a call with an accept_stat that is not success, and what
// belongs behind it.
func Refuse(c Call, stat uint32, more ...uint32) []byte {
	return Record(append(U32(c.XID, 1, 0, 0, 0, stat), U32(more...)...))
}

// Deny answers that the credentials are refused, with the auth_stat.
func Deny(c Call, stat uint32) []byte { return Record(U32(c.XID, 1, 1, 1, stat)) }

// U32 writes unsigned integers.
func U32(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// U64 writes unsigned hyper integers.
func U64(values ...uint64) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// Opaque writes bytes behind their length.
func Opaque(data string) []byte {
	b := append(U32(uint32(len(data))), data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Reader reads what a client sent. It panics where that ends too early.
type Reader struct{ rest []byte }

// NewReader reads the arguments of a call.
func NewReader(b []byte) *Reader { return &Reader{b} }

// U32 reads an unsigned integer.
func (r *Reader) U32() uint32 { return binary.BigEndian.Uint32(r.Fixed(4)) }

// U64 reads an unsigned hyper integer.
func (r *Reader) U64() uint64 { return binary.BigEndian.Uint64(r.Fixed(8)) }

// Fixed reads n bytes.
func (r *Reader) Fixed(n int) []byte {
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// Opaque reads bytes behind their length.
func (r *Reader) Opaque() string {
	n := int(r.U32())
	b := r.Fixed(n)
	r.Fixed((4 - n%4) % 4)
	return string(b)
}
