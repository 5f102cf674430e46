package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// Suggestion ends a sentence about an unknown word: `; did you mean "every"?`,
// or the list of valid words if none is near and they are few, or nothing.
func Suggestion(word string, valid []string) string {
	if near := Nearest(word, valid); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	if len(valid) == 0 || len(valid) > 16 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(valid))
	return "; it can be " + strings.Join(sorted, ", ")
}

// Nearest is the valid word that word was probably meant to be, or empty.
func Nearest(word string, valid []string) string {
	const longest = 64 // more is no typing mistake, and the distance is quadratic
	if len(word) > longest {
		return ""
	}
	best, at := "", len(word)/3+1
	if len(word) < 3 {
		at = 1
	}
	for _, candidate := range valid {
		if len(candidate) > longest {
			continue
		}
		n := distance(normal(word), normal(candidate))
		if n < at || n == at && best == "" {
			best, at = candidate, n
		}
	}
	if best == "" {
		best = longerWord(word, valid)
	}
	return best
}

// longerWord finds the only valid word that word is a part of, or that is a
// part of word: "dependencies" no, "timeout_seconds" yes.
func longerWord(word string, valid []string) string {
	found := ""
	for _, candidate := range valid {
		a, b := normal(word), normal(candidate)
		if min(len(a), len(b)) < 4 || !strings.Contains(a, b) && !strings.Contains(b, a) {
			continue
		}
		if found != "" {
			return ""
		}
		found = candidate
	}
	return found
}

func normal(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
