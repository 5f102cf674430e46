package listing

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// highest is the last character of Unicode: behind a prefix it comes after
// every key with that prefix.
var highest = []byte(string(utf8.MaxRune))

// Bounds on looking for middles.
const (
	maxFutile  = 12  // bad guesses about a span, until its cursor moves on
	freeWasted = 64  // bad guesses that a pass may always make,
	wastedPart = 4   // and one for so many pages
	maxSamples = 256 // keys that a pass learns,
	maxSample  = 256 // bytes of each
	positions  = 256 // of a key whose characters are remembered
)

// page is how many keys a page has: less is not worth a split.
const page = 1000

// widest is the span that is most worth splitting, and a key in its middle. The
// mutex is held.
func (p *Pass) widest() (s *span, middle []byte) {
	if p.state.Wasted > freeWasted+p.state.Pages/wastedPart {
		return nil, nil
	}
	candidates := slices.Clone(p.spans)
	slices.SortFunc(candidates, func(a, b *span) int { return cmp.Compare(b.rest, a.rest) })
	for _, s := range candidates {
		if s.splitting || s.futile >= maxFutile || s.rest < page {
			continue
		}
		if middle := p.middle(s); middle != nil {
			return s, middle
		}
	}
	return nil, nil
}

// estimate sets how many keys may be left in s: as many as learned, or as if
// they went on as the last page did.
func (p *Pass) estimate(s *span) {
	s.rest = math.Inf(1)
	if known := len(between(p.o.Learned, s)); known > 0 {
		s.rest = page * float64(known+1)
		return
	}
	shared, y := p.shared(s), 1.0
	if len(s.End) > shared && s.End[shared] < utf8.RuneSelf {
		y = p.seen.fraction(s.End, shared)
	}
	from, to := p.seen.fraction(s.first, shared), p.seen.fraction(s.After, shared)
	if to > from {
		s.rest = float64(s.keys) * (y - to) / (to - from)
	}
}

// shared is how many first characters are known to be those of all keys in s.
func (p *Pass) shared(s *span) int {
	if len(s.End) == 0 {
		return min(len(p.o.Prefix), len(s.After))
	}
	return sharedPrefix(s.After, s.End)
}

// middle is a key between the cursor of s and its end, nil if none is known.
func (p *Pass) middle(s *span) []byte {
	if known := between(p.o.Learned, s); len(known) > 0 {
		return known[len(known)/2]
	}
	if !s.listed {
		return nil
	}
	shared := p.shared(s)
	if len(s.End) > 0 && !bytes.HasPrefix(s.End[shared:], highest) || s.Deep == shared+1 {
		return p.seen.between(s.After, s.End, shared)
	}
	// Which character tells the keys apart? All share After[:shared], not all
	// After[:Deep].
	deep := s.Deep
	if deep <= shared || deep > len(s.After) {
		deep = len(s.After) + 1
	}
	at := (shared + deep) / 2
	if at >= deep || at > len(s.After) {
		return nil
	}
	key := append(bytes.Clone(s.After[:at]), highest...)
	if !utf8.Valid(key) || len(s.End) > 0 && bytes.Compare(key, s.End) >= 0 {
		return nil
	}
	return key
}

// between are the learned keys in what is left of s.
func between(learned [][]byte, s *span) [][]byte {
	from, found := slices.BinarySearchFunc(learned, s.After, bytes.Compare)
	if found {
		from++
	}
	to := len(learned)
	if len(s.End) > 0 {
		to, _ = slices.BinarySearchFunc(learned, s.End, bytes.Compare)
	}
	if to <= from {
		return nil
	}
	return learned[from:to]
}

func sharedPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// alphabets are the characters that were seen at each position of the keys.
type alphabets struct {
	seen  [positions][2]uint64 // ASCII as bits
	known [positions]string    // with the rest of their kind, in order; empty: to be made again
}

func (a *alphabets) learn(key []byte) {
	for i, c := range key[:min(len(key), positions)] {
		if c >= 0x80 {
			continue
		}
		if bit := uint64(1) << (c % 64); a.seen[i][c/64]&bit == 0 {
			a.seen[i][c/64] |= bit
			a.known[i] = ""
		}
	}
}

const (
	digits = "0123456789"
	hex    = "abcdef"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// at is the alphabet of a position: where one digit was, there may be others.
func (a *alphabets) at(i int) string {
	if i >= positions {
		return digits + lower
	}
	if a.known[i] == "" {
		a.known[i] = a.complete(i)
	}
	return a.known[i]
}

func (a *alphabets) complete(i int) string {
	var chars []byte
	for c := range byte(0x80) {
		if a.seen[i][c/64]&(1<<(c%64)) != 0 && c > ' ' {
			chars = append(chars, c)
		}
	}
	has := func(set string) bool { return bytes.ContainsAny(chars, set) }
	isHex := has(digits) && !has(lower[len(hex):])
	for _, set := range []string{digits, lower, upper} {
		if set == lower && isHex {
			set = hex
		}
		if has(set) {
			chars = append(chars, set...)
		}
	}
	slices.Sort(chars)
	if chars = slices.Compact(chars); len(chars) == 0 {
		return digits + lower
	}
	return string(chars)
}

// depth is how many characters behind the shared ones are looked at.
const depth = 8

// between is a key in the middle of lo and hi, which share their first
// characters, as if all characters of the alphabets were used alike.
func (a *alphabets) between(lo, hi []byte, shared int) []byte {
	x, y := a.fraction(lo, shared), 1.0
	if len(hi) > shared && hi[shared] < utf8.RuneSelf {
		y = a.fraction(hi, shared)
	}
	m := (x + y) / 2
	key := bytes.Clone(lo[:min(shared, len(lo))])
	if !utf8.Valid(key) {
		return nil
	}
	for i := range depth {
		set := a.at(shared + i)
		m *= float64(len(set))
		n := min(int(m), len(set)-1)
		m -= float64(n)
		key = append(key, set[n])
		if bytes.Compare(key, lo) > 0 && (len(hi) == 0 || bytes.Compare(key, hi) < 0) {
			return key
		}
	}
	return nil
}

// fraction is where s stands among all keys with its first characters.
func (a *alphabets) fraction(s []byte, shared int) float64 {
	f, unit := 0.0, 1.0
	for i := shared; i < len(s) && i < shared+depth; i++ {
		set := a.at(i)
		unit /= float64(len(set))
		if s[i] >= 0x80 {
			return f + unit*float64(len(set))
		}
		rank := strings.IndexFunc(set, func(r rune) bool { return byte(r) >= s[i] })
		if rank < 0 {
			rank = len(set)
		}
		f += unit * float64(rank)
	}
	return f
}

// sample keeps every so manieth key, so that the next pass knows how keys are
// spread; when there are too many, every second one goes. The mutex is held.
func (p *Pass) sample(key []byte) {
	if p.state.Pages%p.state.Stride != 0 {
		return
	}
	p.state.Samples = append(p.state.Samples, bytes.Clone(key[:min(len(key), maxSample)]))
	if len(p.state.Samples) < maxSamples {
		return
	}
	all := sorted(p.state.Samples)
	p.state.Samples = nil
	for i := 1; i < len(all); i += 2 {
		p.state.Samples = append(p.state.Samples, all[i])
	}
	p.state.Stride *= 2
}

// sorted are the samples in order, each once, and only text: what is sent as a
// start has to be.
func sorted(samples [][]byte) [][]byte {
	all := slices.DeleteFunc(slices.Clone(samples), func(s []byte) bool { return !utf8.Valid(s) })
	slices.SortFunc(all, bytes.Compare)
	return slices.CompactFunc(all, bytes.Equal)
}

// spread picks at most n keys evenly, none if there are too few to be of use.
func spread(learned [][]byte, n int) [][]byte {
	if len(learned) < 4 {
		return nil
	}
	n = min(n, len(learned)/2)
	var picked [][]byte
	for i := 1; i < n; i++ {
		picked = append(picked, learned[i*len(learned)/n])
	}
	return picked
}
