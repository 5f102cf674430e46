package match

import (
	"encoding/binary"
	"math/bits"
)

const (
	window  = 4 // bytes that are looked at together
	minText = 3 // a shorter text is met too often
)

// foldMask sets bit 5 of four bytes: small and large letters become one, and a
// few other bytes too, which the check behind the filter tells apart.
const foldMask = 0x20202020

// filter finds the places of a text at which a window of a required text may
// stand: one bit for each hash of four folded bytes.
//
// Only every stride-th place is looked at. Wherever a required text stands, one
// of its first stride windows from the chosen one on stands at such a place: so
// all of these are in the tables.
type filter struct {
	stride  int
	shift   uint // of the hash, so that it is an index of a bit
	bitmap  []uint64
	slots   []slot // open addressing by the folded window
	entries []entry
	vector  vector // tables of the SIMD path, if there is one
}

// slot is a window and its entries, entries[from:to].
type slot struct {
	key      uint32
	from, to int32
}

// entry is a required text of a pattern, and a window of it.
type entry struct {
	beside  uint32 // the four folded bytes of the text beside the window, as far as it has them
	at      int32  // where these stand, from the window on; 0: the text is the window
	offset  int32  // of the window in text
	pattern int32
	text    string // folded
}

// newEntry looks for the bytes beside the window: a compare of these rules out
// nearly all that has the window only.
func newEntry(text string, offset, pattern int) entry {
	e := entry{text: text, offset: int32(offset), pattern: int32(pattern)}
	if len(text) <= window {
		return e
	}
	at := min(offset+window, len(text)-window)
	if offset-max(0, offset-window) > at-offset {
		at = max(0, offset-window)
	}
	e.at = int32(at - offset)
	e.beside = binary.LittleEndian.Uint32([]byte(text[at:])) | foldMask
	return e
}

// hash spreads the four bytes over the upper bits (Knuth's multiplicative hash).
func hash(folded uint32) uint32 { return folded * knuth }

const knuth = 0x9E3779B1

// newFilter returns the filter of the patterns, and the patterns that it can
// do nothing for.
func newFilter(patterns []pattern) (f filter, always []int) {
	f.stride = stride(patterns)
	byWindow := map[uint32][]entry{}
	for p, one := range patterns {
		if one.required == nil {
			always = append(always, p)
		}
		for _, text := range one.required {
			first, _ := rarest(text, f.stride)
			for offset := first; offset < first+f.stride; offset++ {
				for _, key := range windows(text[offset:]) {
					byWindow[key] = append(byWindow[key], newEntry(text, offset, p))
				}
			}
		}
	}
	f.fill(byWindow)
	f.vector = newVector(byWindow)
	return f, always
}

// stride is as long as the shortest required text allows: 4, 2 or 1.
func stride(patterns []pattern) int {
	shortest := 2*window - 1
	for _, one := range patterns {
		for _, text := range one.required {
			shortest = min(shortest, len(text))
		}
	}
	switch n := shortest - window + 1; {
	case n >= 4:
		return 4
	case n >= 2:
		return 2
	}
	return 1
}

// windows are the folded windows at the begin of text: one, or for a text of
// three bytes one for each fourth byte.
func windows(text string) []uint32 {
	if len(text) >= window {
		return []uint32{binary.LittleEndian.Uint32([]byte(text)) | foldMask}
	}
	var all []uint32
	for c := range 128 {
		fourth := byte(c&0x1f | c&0x60<<1 | 0x20)
		all = append(all, uint32(text[0])|uint32(text[1])<<8|uint32(text[2])<<16|uint32(fourth)<<24|foldMask)
	}
	return all
}

// fill makes the tables. The bitmap has 256 bits for each window, so that one
// place in 256 passes by chance, and stays inside of a processor's first cache.
func (f *filter) fill(byWindow map[uint32][]entry) {
	n := bits.Len(uint(max(len(byWindow), 1)))
	f.shift = uint(32 - min(max(n+8, 12), 18))
	f.bitmap = make([]uint64, 1<<(32-f.shift)/64)
	f.slots = make([]slot, 1<<(n+1))
	for key, entries := range byWindow {
		h := hash(key) >> f.shift
		f.bitmap[h/64] |= 1 << (h % 64)
		at := f.slotOf(key)
		f.slots[at] = slot{key, int32(len(f.entries)), int32(len(f.entries) + len(entries))}
		f.entries = append(f.entries, entries...)
	}
}

// slotOf is the index of the slot of the key, or of the free slot where it would be.
func (f *filter) slotOf(key uint32) int {
	mask := uint32(len(f.slots) - 1)
	at := hash(key) & mask
	for f.slots[at].to != 0 && f.slots[at].key != key {
		at = (at + 1) & mask
	}
	return int(at)
}

// at calls try for each pattern of which a required text stands in the block
// with its window at i.
func (f *filter) at(block []byte, i int, try func(pattern int)) {
	s := f.slots[f.slotOf(load(block, i)|foldMask)]
	for j := s.from; j < s.to; j++ {
		e := &f.entries[j]
		if e.at != 0 {
			k := i + int(e.at)
			if k < 0 || k+window > len(block) || binary.LittleEndian.Uint32(block[k:])|foldMask != e.beside {
				continue
			}
		}
		if start := i - int(e.offset); start >= 0 && hasFolded(block[start:], e.text) {
			try(int(e.pattern))
		}
	}
}

// load is the four bytes at i; those behind the end are line feeds.
func load(block []byte, i int) uint32 {
	if i+window <= len(block) {
		return binary.LittleEndian.Uint32(block[i:])
	}
	four := [window]byte{'\n', '\n', '\n', '\n'}
	copy(four[:], block[i:])
	return binary.LittleEndian.Uint32(four[:])
}

func hasFolded(b []byte, text string) bool {
	if len(b) < len(text) {
		return false
	}
	for i := range len(text) {
		if lower(b[i]) != text[i] {
			return false
		}
	}
	return true
}

// each calls emit for the places at which a window may stand, in order.
func (f *filter) each(block []byte, emit func(at int)) {
	at := 0
	if f.vector.on {
		at = f.eachVector(block, emit)
	}
	for ; ; at++ {
		if at = f.next(block, at); at < 0 {
			return
		}
		emit(at)
	}
}

// next is the first place, not before from, at which a window may stand, or -1. It
// looks at each place that is a multiple of the stride.
func (f *filter) next(block []byte, from int) int {
	i := (from + f.stride - 1) &^ (f.stride - 1)
	switch f.stride {
	case 4:
		i = f.skip4(block, i)
	case 2:
		i = f.skip2(block, i)
	default:
		i = f.skip1(block, i)
	}
	for ; i+minText <= len(block); i += f.stride {
		if f.has(load(block, i) | foldMask) {
			return i
		}
	}
	return -1
}

const foldMask8 = foldMask<<32 | foldMask

// skip4 passes places at which nothing stands, four at a time. It stops where
// one of the next four may hold something, or at the end.
func (f *filter) skip4(block []byte, i int) int {
	bitmap, shift := f.bitmap, f.shift&31
	for ; i+16 <= len(block); i += 16 {
		v, w := binary.LittleEndian.Uint64(block[i:])|foldMask8, binary.LittleEndian.Uint64(block[i+8:])|foldMask8
		a, b, c, d := hash(uint32(v))>>shift, hash(uint32(v>>32))>>shift, hash(uint32(w))>>shift, hash(uint32(w>>32))>>shift
		if (bitmap[a>>6]>>(a&63)|bitmap[b>>6]>>(b&63)|bitmap[c>>6]>>(c&63)|bitmap[d>>6]>>(d&63))&1 != 0 {
			return i
		}
	}
	return i
}

func (f *filter) skip2(block []byte, i int) int {
	bitmap, shift := f.bitmap, f.shift&31
	for ; i+12 <= len(block); i += 8 {
		v, w := binary.LittleEndian.Uint64(block[i:])|foldMask8, binary.LittleEndian.Uint64(block[i+2:])|foldMask8
		a, b, c, d := hash(uint32(v))>>shift, hash(uint32(w))>>shift, hash(uint32(v>>32))>>shift, hash(uint32(w>>32))>>shift
		if (bitmap[a>>6]>>(a&63)|bitmap[b>>6]>>(b&63)|bitmap[c>>6]>>(c&63)|bitmap[d>>6]>>(d&63))&1 != 0 {
			return i
		}
	}
	return i
}

func (f *filter) skip1(block []byte, i int) int {
	bitmap, shift := f.bitmap, f.shift&31
	for ; i+8 <= len(block); i += 4 {
		v := binary.LittleEndian.Uint64(block[i:]) | foldMask8
		a, b, c, d := hash(uint32(v))>>shift, hash(uint32(v>>8))>>shift, hash(uint32(v>>16))>>shift, hash(uint32(v>>24))>>shift
		if (bitmap[a>>6]>>(a&63)|bitmap[b>>6]>>(b&63)|bitmap[c>>6]>>(c&63)|bitmap[d>>6]>>(d&63))&1 != 0 {
			return i
		}
	}
	return i
}

func (f *filter) has(folded uint32) bool {
	h := hash(folded) >> f.shift
	return f.bitmap[h/64]>>(h%64)&1 != 0
}

func (f *filter) size() int {
	n := len(f.bitmap)*8 + len(f.slots)*12 + f.vector.size()
	for _, e := range f.entries {
		n += len(e.text) + 40
	}
	return n
}
