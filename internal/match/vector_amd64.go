//go:build goexperiment.simd && amd64

package match

import (
	"math/bits"
	"simd/archsimd"
)

const (
	batch     = 256  // bytes that are looked at together: 64 places
	smallBits = 4096 // bits of a small bitmap: 8 registers hold it
	// maxWindows is how many windows the small bitmaps tell apart well enough.
	// With more of them, the large bitmap alone is faster.
	maxWindows = 6000
)

// vector is the SIMD path. It hashes the windows at 64 places at once, and looks
// two pieces of each hash up in two small bitmaps that fit in registers. What
// stands in both is looked up in the bitmap of the filter.
//
// It needs the byte permutations over two registers of AVX-512 VBMI (Intel since
// Ice Lake, AMD since Zen 4). With four lookups of 16 entries, as AVX2 has them,
// bitmaps of this size are slower than the portable path.
type vector struct {
	on     bool
	tables *tables
}

type tables struct {
	first, second [8][64]uint8 // small bitmaps
	bytes01       [64]uint8    // indices: of two registers of hashes, bytes 0, then bytes 1
	bytes23       [64]uint8
	bit           [64]uint8 // 1 << n at n, for each group of 16
}

func newVector(byWindow map[uint32][]entry) vector {
	if !archsimd.X86.AVX512VBMI() || len(byWindow) == 0 || len(byWindow) > maxWindows {
		return vector{}
	}
	t := &tables{}
	for key := range byWindow {
		h := smallHash(key)
		set(&t.first, h)
		set(&t.second, h>>16)
	}
	for i := range 32 {
		t.bytes01[i], t.bytes01[32+i] = uint8(4*i), uint8(4*i+1)
		t.bytes23[i], t.bytes23[32+i] = uint8(4*i+2), uint8(4*i+3)
	}
	for i := range t.bit {
		t.bit[i] = 1 << (i % 8)
	}
	return vector{on: true, tables: t}
}

// smallHash has in each half a byte of which seven bits say where, and one of
// which two bits say in which part and three say which bit.
func smallHash(folded uint32) uint32 {
	h := hash(folded)
	return h ^ h>>15
}

func set(bitmap *[8][64]uint8, h uint32) {
	at, sel := h&127, h>>8&31
	bitmap[2*(sel>>3)+at>>6][at&63] |= 1 << (sel & 7)
}

// eachVector calls emit for the places of whole batches at which a window may
// stand, and returns where it stopped.
func (f *filter) eachVector(block []byte, emit func(at int)) int {
	var found [window]int
	i := 0
	for ; i+batch+window <= len(block); i += batch {
		var places [4]uint64
		all := uint64(0)
		for phase := 0; phase < window; phase += f.stride {
			places[phase] = f.vector.tables.places((*[batch]byte)(block[i+phase:]))
			all |= places[phase]
		}
		for ; all != 0; all &= all - 1 {
			k := bits.TrailingZeros64(all)
			n := 0
			for phase := 0; phase < window; phase += f.stride {
				at := i + window*k + phase
				h := hash(load(block, at)|foldMask) >> (f.shift & 31)
				found[n] = phase
				n += int(f.bitmap[h/64] >> (h % 64) & (places[phase] >> k) & 1)
			}
			for _, phase := range found[:n] {
				emit(i + window*k + phase)
			}
		}
	}
	return i
}

// places has a bit for each four bytes that may be a window.
func (t *tables) places(text *[batch]byte) uint64 {
	fold, knuth := archsimd.BroadcastUint32x16(foldMask), archsimd.BroadcastUint32x16(knuth)
	a, b := hashes(text, 0, fold, knuth), hashes(text, 64, fold, knuth)
	c, d := hashes(text, 128, fold, knuth), hashes(text, 192, fold, knuth)
	bytes01, bytes23 := archsimd.LoadUint8x64(&t.bytes01), archsimd.LoadUint8x64(&t.bytes23)
	ab, cd := a.ConcatPermute(b, bytes01), c.ConcatPermute(d, bytes01)
	first := t.lookup(&t.first, ab.SetHi(cd.GetLo()), cd.SetLo(ab.GetHi()))
	ab, cd = a.ConcatPermute(b, bytes23), c.ConcatPermute(d, bytes23)
	second := t.lookup(&t.second, ab.SetHi(cd.GetLo()), cd.SetLo(ab.GetHi()))
	return first & second
}

func hashes(text *[batch]byte, at int, fold, knuth archsimd.Uint32x16) archsimd.Uint8x64 {
	h := archsimd.LoadUint8x64((*[64]uint8)(text[at:])).AsUint32x16().Or(fold).Mul(knuth)
	return h.Xor(h.ShiftAllRight(15)).AsUint8x64()
}

// lookup has a bit for each place whose bit is set in the bitmap.
func (t *tables) lookup(bitmap *[8][64]uint8, at, sel archsimd.Uint8x64) uint64 {
	var zero archsimd.Uint8x64
	part := func(n int) archsimd.Uint8x64 {
		return archsimd.LoadUint8x64(&bitmap[2*n]).ConcatPermute(archsimd.LoadUint8x64(&bitmap[2*n+1]), at)
	}
	odd := sel.And(archsimd.BroadcastUint8x64(8)).NotEqual(zero)
	upper := sel.And(archsimd.BroadcastUint8x64(16)).NotEqual(zero)
	byte8 := part(3).Merge(part(2), odd).Merge(part(1).Merge(part(0), odd), upper)
	bit := archsimd.LoadUint8x64(&t.bit).PermuteOrZeroGrouped(sel.And(archsimd.BroadcastUint8x64(7)).AsInt8x64())
	return byte8.And(bit).NotEqual(zero).ToBits()
}

func (v vector) size() int {
	if v.tables == nil {
		return 0
	}
	return 2 * smallBits / 8
}
