// Package xdr writes and reads External Data Representation (RFC 4506), the
// form that RPC programs speak, for the few types that NFS probes need.
//
// What is read comes from outside: a Decoder never reads beyond its bytes,
// never takes a length on trust, and remembers its first error, after which all
// it gives is zero.
package xdr

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort is what a Decoder says that needs more bytes than there are.
var ErrShort = errors.New("the answer ends too early")

// Encoder collects what is written. The zero value is empty and ready.
type Encoder struct{ buf []byte }

// Bytes are what was written so far.
func (e *Encoder) Bytes() []byte { return e.buf }

// Uint32 writes an unsigned integer (RFC 4506, section 4.2).
func (e *Encoder) Uint32(v uint32) { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }

// Uint64 writes an unsigned hyper integer (section 4.5).
func (e *Encoder) Uint64(v uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }

// Fixed writes opaque data whose length both sides know (section 4.9).
func (e *Encoder) Fixed(b []byte) {
	e.buf = append(e.buf, b...)
	e.buf = append(e.buf, make([]byte, padding(len(b)))...)
}

// Opaque writes opaque data behind its length (section 4.10).
func (e *Encoder) Opaque(b []byte) {
	e.Uint32(uint32(len(b)))
	e.Fixed(b)
}

// String writes a string (section 4.11).
func (e *Encoder) String(s string) { e.Opaque([]byte(s)) }

// padding is how many zero bytes follow n bytes of data.
func padding(n int) int { return (4 - n%4) % 4 }

// Decoder reads from bytes.
type Decoder struct {
	buf []byte
	err error
}

// NewDecoder reads from b, which it does not change.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Err is the first error, nil if all could be read.
func (d *Decoder) Err() error { return d.err }

// Len is how many bytes are left.
func (d *Decoder) Len() int { return len(d.buf) }

// Fail makes err the decoder's error, unless there is one already.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err, d.buf = err, nil
	}
}

// take gives the next n bytes, or nil after an error.
func (d *Decoder) take(n int) []byte {
	if n > len(d.buf) {
		d.Fail(ErrShort)
	}
	if d.err != nil {
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// Uint32 reads an unsigned integer.
func (d *Decoder) Uint32() uint32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Uint64 reads an unsigned hyper integer.
func (d *Decoder) Uint64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Bool reads a boolean (section 4.4), false after an error, so that a loop over
// a list ends there.
func (d *Decoder) Bool() bool {
	switch v := d.Uint32(); v {
	case 0:
		return false
	case 1:
		return true
	default:
		d.Fail(fmt.Errorf("%d is not a boolean", v))
		return false
	}
}

// Fixed reads opaque data of n bytes. The bytes are part of what the decoder
// reads from, not a copy.
func (d *Decoder) Fixed(n int) []byte {
	b := d.take(n)
	d.take(padding(n))
	return b
}

// Opaque reads opaque data of at most limit bytes, as Fixed does.
func (d *Decoder) Opaque(limit int) []byte {
	n := d.Uint32()
	if d.err == nil && uint64(n) > uint64(limit) {
		d.Fail(fmt.Errorf("%d bytes where at most %d can be", n, limit))
	}
	if d.err != nil {
		return nil
	}
	return d.Fixed(int(n))
}

// String reads a string of at most limit bytes. It may hold any bytes.
func (d *Decoder) String(limit int) string { return string(d.Opaque(limit)) }
