package webhook

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// load is what the requests that are worked on take. Both numbers have a limit,
// beyond which requests are answered that they come too many at once.
type load struct {
	requests atomic.Int64 // that are being stored
	memory   atomic.Int64 // of bodies that are being read or stored
	// large is held by the one large body that is being stored, since that needs
	// it in one piece.
	large sync.Mutex
}

// enter makes room for one more request.
func (l *load) enter(limit int) bool {
	if l.requests.Add(1) > int64(limit) {
		l.requests.Add(-1)
		return false
	}
	return true
}

func (l *load) leave() { l.requests.Add(-1) }

// take makes room for n more bytes.
func (l *load) take(n, limit int64) bool {
	if l.memory.Add(n) > limit {
		l.memory.Add(-n)
		return false
	}
	return true
}

// give returns what was taken.
func (l *load) give(n int64) { l.memory.Add(-n) }

var (
	errTooLarge   = errors.New("body is too large")
	errOverloaded = errors.New("too many bodies at once")
)

// Bodies are read in pieces: most fit into the first one; of the others only as
// much is held as has come, whatever length was announced.
const (
	firstPiece = 8 << 10
	nextPiece  = 64 << 10
)

// pieces are used again, so that large bodies leave no garbage behind.
var pieces = sync.Pool{New: func() any { return new([nextPiece]byte) }}

// body is the body of a request and what it takes of the load.
type body struct {
	load  *load
	limit int64 // of all bodies
	taken int64
	size  int64
	parts [][]byte
	used  []*[nextPiece]byte
	one   bool // it is in one piece, and the only one of its size
}

// read reads a body of at most so many bytes.
func (b *body) read(r io.Reader, announced, most int64) error {
	if announced > most {
		return errTooLarge
	}
	want := int64(firstPiece)
	if announced >= 0 {
		want = min(want, announced)
	}
	if !b.load.take(want, b.limit) {
		return errOverloaded
	}
	b.taken = want
	more, err := b.fill(r, make([]byte, want))
	for more && err == nil && b.size != announced {
		if b.size > most {
			return errTooLarge
		}
		if !b.load.take(nextPiece, b.limit) {
			return errOverloaded
		}
		b.taken += nextPiece
		p, _ := pieces.Get().(*[nextPiece]byte) // nothing else is in there
		b.used = append(b.used, p)
		more, err = b.fill(r, p[:])
	}
	if err == nil && b.size > most {
		return errTooLarge
	}
	return err
}

// fill reads into a piece, and says whether there may be more. A body that ends
// before its announced length is an error, io.ErrUnexpectedEOF, and never short.
func (b *body) fill(r io.Reader, piece []byte) (more bool, err error) {
	n := 0
	for n < len(piece) && err == nil {
		var got int
		got, err = r.Read(piece[n:])
		n += got
	}
	b.size += int64(n)
	b.parts = append(b.parts, piece[:n])
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return true, err
}

// whole is the body in one piece. Large ones wait for each other.
func (b *body) whole() []byte {
	if len(b.parts) == 1 {
		return b.parts[0]
	}
	if b.size > nextPiece {
		b.load.large.Lock()
		b.one = true
	}
	raw := make([]byte, 0, b.size)
	for _, p := range b.parts {
		raw = append(raw, p...)
	}
	b.forget()
	b.parts = [][]byte{raw}
	return raw
}

// forget gives the pieces back.
func (b *body) forget() {
	for _, p := range b.used {
		pieces.Put(p)
	}
	b.used = nil
}

// release gives back all that was taken.
func (b *body) release() {
	b.forget()
	if b.one {
		b.load.large.Unlock()
	}
	b.load.give(b.taken)
	b.parts, b.taken = nil, 0
}
