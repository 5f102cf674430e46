// Command pairs counts how often two and four bytes stand side by side in logs.
// With -o it writes the tables that package match chooses its windows by; without,
// it prints how many of them are common.
//
//	go run ./test/experiment/pairs -o internal/match [LOG...]
package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// size is how many bytes there are once bit 5 does not count.
const size = 128

func main() {
	dir := flag.String("o", "", "folder to write the tables to, as internal/match; empty: only print")
	flag.Parse()
	files := flag.Args()
	if len(files) == 0 { // logs of sixteen systems, where they are at hand
		files, _ = filepath.Glob(filepath.Join(cmp.Or(os.Getenv("COLLIE_SHARED_DATA"), "../shared/data"), "loghub", "*.log"))
	}
	if err := run(*dir, files); err != nil {
		fmt.Fprintln(os.Stderr, "pairs:", err)
		os.Exit(1)
	}
}

func run(dir string, files []string) error {
	windows := make([]int, 1<<16)
	var pairs [size * size]int
	var bytes [size]int
	total := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i := range len(text) - 1 {
			pairs[folded(text[i])*size+folded(text[i+1])]++
			bytes[folded(text[i])]++
		}
		for i := range len(text) - 3 {
			windows[(binary.LittleEndian.Uint32(text[i:])|0x20202020)*0x9E3779B1>>16]++
		}
		total += len(text)
	}
	if total == 0 {
		return errors.New("no logs: name some files")
	}
	for _, share := range []int{100, 1000, 10_000} {
		fmt.Printf("in %d bytes %d windows of four bytes stand at more than one in %d places\n", total, common(windows, total/share), share)
	}
	if dir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "windows.bin"), rarities(windows, total), 0o644); err != nil {
		return err
	}
	table := append(rarities(pairs[:], total), rarities(bytes[:], total)...)
	return os.WriteFile(filepath.Join(dir, "pairs.bin"), table, 0o644)
}

func common(counts []int, limit int) (n int) {
	for _, c := range counts {
		if c > limit {
			n++
		}
	}
	return n
}

// folded is the index of a byte, as in package match.
func folded(c byte) int { return int(c&0x1f | c&0xc0>>1) }

// rarities are 16 times the logarithm of how many times rarer than always each
// is; what was never seen counts as seen half a time.
func rarities(counts []int, total int) []byte {
	table := make([]byte, len(counts))
	for i, n := range counts {
		seen := math.Max(float64(n), 0.5)
		table[i] = byte(math.Min(255, math.Round(16*math.Log2(float64(total)/seen))))
	}
	return table
}
