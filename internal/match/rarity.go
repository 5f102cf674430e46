package match

import (
	_ "embed"
	"encoding/binary"
	"math"
	"slices"
)

// windows4 tells for each hash of four folded bytes how rare they are in logs, in
// the unit of pairs.
//
//go:embed windows.bin
var windows4 string

// pairs tells for each two bytes, folded as the filter folds, how rare they are
// side by side in logs, and behind them for each byte alone: 16 times the
// logarithm to the base of 2 of 1 over their share. It was counted over logs of
// sixteen systems by test/experiment/pairs.
//
//go:embed pairs.bin
var pairs string

// folded is the index of a byte in pairs. As in the filter, bit 5 does not
// count, which is what tells a small letter from a large one.
func folded(c byte) int { return int(c&0x1f | c&0xc0>>1) }

func rarityOfPair(a, b byte) int { return int(pairs[folded(a)<<7|folded(b)]) }

func rarity(c byte) int { return int(pairs[1<<14|folded(c)]) }

// expected is the share of places in a log at which the text stands, as far as
// pairs can tell.
func expected(s string) float64 {
	sum := 0
	for i := range len(s) - 1 {
		sum += rarityOfPair(s[i], s[i+1])
		if i > 0 { // counted by both pairs
			sum -= rarity(s[i])
		}
	}
	if len(s) == window {
		sum = min(sum, int(windows4[hash(binary.LittleEndian.Uint32([]byte(s))|foldMask)>>16]))
	}
	return math.Exp2(-float64(max(sum, 0)) / 16)
}

// cost is the share of places at which a text of the set is met. Texts that
// differ elsewhere have the same windows.
func cost(texts []string) float64 {
	var seen []string
	sum := 0.0
	for _, s := range useful(texts) {
		offset, often := rarest(s, min(4, max(1, len(s)-window+1)))
		if piece := s[offset:min(len(s), offset+2*window-1)]; !slices.Contains(seen, piece) {
			seen = append(seen, piece)
			sum += often
		}
		if len(s) < 2*window-1 {
			sum += short
		}
	}
	return sum
}

// short is what a text costs that is too short for the largest stride: as much
// as one that stands at every hundredth place.
const short = 0.01

// rarest is the offset of the run of n windows of s that is met least, and the
// share of places at which it is met. A window is of four bytes, and of three if
// s has no more.
func rarest(s string, n int) (offset int, often float64) {
	if len(s) <= window {
		return 0, expected(s)
	}
	often = math.Inf(1)
	for i := range len(s) - window - n + 2 {
		sum := 0.0
		for j := i; j < i+n; j++ {
			sum += expected(s[j : j+window])
		}
		if sum < often {
			offset, often = i, sum
		}
	}
	return offset, often
}
