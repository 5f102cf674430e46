package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A record on a TCP connection is a row of fragments, each behind four bytes:
// the highest bit says that it is the last, the others are its length (RFC
// 5531, section 11).
const (
	lastFragment = 1 << 31
	maxFragments = 64      // of one record; servers send one or a few
	chunk        = 8 << 10 // memory is taken as bytes come, not as they are announced
)

var (
	errTooLong   = errors.New("the answer is longer than what is read of it")
	errFragments = errors.New("the answer is cut into too many fragments")
)

// appendRecord appends a record of one fragment.
func appendRecord(to, payload []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, lastFragment|uint32(len(payload)))
	return append(to, payload...)
}

// readRecord reads one record of at most limit bytes. What is longer is an
// error at once, whatever the other side goes on to send.
func readRecord(r io.Reader, limit int) ([]byte, error) {
	var record []byte
	for range maxFragments {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, err
		}
		mark := binary.BigEndian.Uint32(head[:])
		length := int(mark &^ lastFragment)
		if length > limit-len(record) {
			return nil, fmt.Errorf("%w (%d bytes)", errTooLong, limit)
		}
		var err error
		if record, err = grow(r, record, length); err != nil {
			return nil, err
		}
		if mark&lastFragment != 0 {
			return record, nil
		}
	}
	return nil, errFragments
}

// grow reads length more bytes behind record.
func grow(r io.Reader, record []byte, length int) ([]byte, error) {
	for length > 0 {
		n := min(length, chunk)
		at := len(record)
		record = append(record, make([]byte, n)...)
		if _, err := io.ReadFull(r, record[at:]); err != nil {
			return nil, err
		}
		length -= n
	}
	return record, nil
}
