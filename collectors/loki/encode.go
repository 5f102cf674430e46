// Package loki sends log lines to Loki: the push protocol with its own encoder,
// and what each answer means. It keeps nothing; who calls it does.
package loki

import (
	"encoding/binary"
	"math/bits"

	"github.com/klauspost/compress/s2"
)

// Pair is one item of structured metadata.
type Pair struct {
	Name  string
	Value []byte
}

// Encoder builds the body of a push: a snappy block of a logproto.PushRequest
// (push.proto of github.com/grafana/loki/pkg/push). What it allocates it keeps,
// so that a line costs no allocation. The zero value is ready.
type Encoder struct {
	entries []byte // of the open stream
	request []byte
	packed  []byte
	labels  string
	open    bool
}

// Tags of the fields, as protobuf writes them: number<<3 | 2, and for the two
// numbers of a timestamp number<<3 | 0.
const (
	tagStreams   = 1<<3 | 2 // PushRequest.streams
	tagLabels    = 1<<3 | 2 // StreamAdapter.labels
	tagEntries   = 2<<3 | 2 // StreamAdapter.entries
	tagTimestamp = 1<<3 | 2 // EntryAdapter.timestamp
	tagLine      = 2<<3 | 2 // EntryAdapter.line
	tagMetadata  = 3<<3 | 2 // EntryAdapter.structuredMetadata
	tagName      = 1<<3 | 2 // LabelPairAdapter.name
	tagValue     = 2<<3 | 2 // LabelPairAdapter.value
	tagSeconds   = 1 << 3
	tagNanos     = 2 << 3
)

const second = 1_000_000_000

// Reset begins a new request.
func (e *Encoder) Reset() {
	e.entries, e.request, e.open = e.entries[:0], e.request[:0], false
}

// Stream begins a stream, whose labels are written as Loki does: {a="b"}. The
// entries that follow are its.
func (e *Encoder) Stream(labels string) {
	e.close()
	e.labels, e.open = labels, true
}

// Entry adds a line. The line and the values are copied.
func (e *Encoder) Entry(ns int64, line []byte, meta []Pair) {
	secs, nanos := uint64(ns/second), uint64(ns%second)
	stamp := sizeStamp(secs, nanos)
	size := 1 + sizeVarint(uint64(stamp)) + stamp + sizeBytes(len(line))
	for i := range meta {
		size += sizeBytes(sizePair(&meta[i]))
	}
	b := binary.AppendUvarint(append(e.entries, tagEntries), uint64(size))
	b = append(b, tagTimestamp, byte(stamp), tagSeconds)
	b = binary.AppendUvarint(b, secs)
	if nanos > 0 { // as others write it: a zero is left out
		b = binary.AppendUvarint(append(b, tagNanos), nanos)
	}
	b = appendBytes(b, tagLine, line)
	for i := range meta {
		b = appendPair(b, &meta[i])
	}
	e.entries = b
}

// Len is the size of the request so far, before it is packed.
func (e *Encoder) Len() int { return len(e.request) + len(e.entries) }

// Body is the finished request. It is valid until the next Body.
func (e *Encoder) Body() []byte {
	e.close()
	if need := s2.MaxEncodedLen(len(e.request)); cap(e.packed) < need {
		e.packed = make([]byte, need)
	}
	e.packed = s2.EncodeSnappy(e.packed[:cap(e.packed)], e.request)
	return e.packed
}

// close writes the stream that is open.
func (e *Encoder) close() {
	if !e.open {
		return
	}
	size := sizeBytes(len(e.labels)) + len(e.entries)
	b := binary.AppendUvarint(append(e.request, tagStreams), uint64(size))
	b = appendString(b, tagLabels, e.labels)
	b = append(b, e.entries...)
	e.request = b
	e.entries, e.open = e.entries[:0], false
}

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// sizeBytes is the size of a field with n bytes in it: tag, length, bytes.
func sizeBytes(n int) int { return 1 + sizeVarint(uint64(n)) + n }

func sizeStamp(secs, nanos uint64) int {
	n := 1 + sizeVarint(secs)
	if nanos > 0 {
		n += 1 + sizeVarint(nanos)
	}
	return n
}

func sizePair(p *Pair) int { return sizeBytes(len(p.Name)) + sizeBytes(len(p.Value)) }

func appendPair(b []byte, p *Pair) []byte {
	b = binary.AppendUvarint(append(b, tagMetadata), uint64(sizePair(p)))
	return appendBytes(appendString(b, tagName, p.Name), tagValue, p.Value)
}

func appendBytes(b []byte, tag byte, v []byte) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(v)))
	return append(b, v...)
}

func appendString(b []byte, tag byte, v string) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(v)))
	return append(b, v...)
}
