package webhook

import (
	"errors"
	"io"
	"sync/atomic"
)

// load is what the requests that are worked on take. Both numbers have a limit,
// beyond which requests are answered that they come too many at once.
type load struct {
	requests atomic.Int64
	memory   atomic.Int64
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

// firstChunk is how much is read of a body whose length is not said, or not to
// be believed yet: whoever says a large length and sends nothing takes no more.
const firstChunk = 16 << 10

// body is the body of a request and what it takes of the load.
type body struct {
	load  *load
	limit int64 // of all bodies
	taken int64
	raw   []byte
}

// read reads at most most bytes. Memory grows with what has come, not with what
// is announced.
func (b *body) read(r io.Reader, announced, most int64) error {
	if announced > most {
		return errTooLarge
	}
	end := most + 1 // one more, to see the end
	if announced >= 0 {
		end = announced + 1
	}
	if err := b.grow(min(firstChunk, end)); err != nil {
		return err
	}
	for {
		if len(b.raw) == cap(b.raw) {
			if err := b.grow(max(min(4*int64(cap(b.raw)), end), int64(len(b.raw))+1)); err != nil {
				return err
			}
		}
		n, err := r.Read(b.raw[len(b.raw):cap(b.raw)])
		b.raw = b.raw[:len(b.raw)+n]
		if int64(len(b.raw)) > most {
			return errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow moves the body to a larger place. For a moment both are held.
func (b *body) grow(size int64) error {
	if !b.load.take(size, b.limit) {
		return errOverloaded
	}
	next := make([]byte, len(b.raw), size)
	copy(next, b.raw)
	b.load.give(b.taken)
	b.raw, b.taken = next, size
	return nil
}

// release gives back what was taken.
func (b *body) release() {
	b.load.give(b.taken)
	b.raw, b.taken = nil, 0
}
