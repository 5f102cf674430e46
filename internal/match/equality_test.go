package match

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sources are texts as collectors and jobs write them: real logs where they are
// at hand, those of this machine, and what a CI job makes of them.
func sources(t testing.TB, r *rand.Rand) map[string][]byte {
	t.Helper()
	logs := corpus(t)
	part := func(text []byte, n int) []byte {
		at := r.IntN(max(1, len(text)-n))
		return text[at:min(len(text), at+n)]
	}
	texts := map[string][]byte{
		"real logs":     part(logs, 30_000),
		"a CI job":      dressed(r, part(logs, 25_000)),
		"invalid UTF-8": spoilt(r, part(logs, 20_000)),
		"stamps":        withStamps(part(logs, 15_000)),
	}
	names, _ := filepath.Glob("/var/log/*.log")
	more, _ := filepath.Glob("/var/log/*/*.log")
	var machine []byte
	for _, name := range append(names, more...) {
		if text, err := os.ReadFile(name); err == nil { // what may not be read is left out
			machine = append(machine, part(bytes.ReplaceAll(text, []byte{escape}, nil), 10_000)...)
		}
	}
	if len(machine) > 20_000 {
		texts["this machine"] = part(machine, 20_000)
	}
	return texts
}

// spoilt is the text with bytes that are no UTF-8, and some that end lines in
// other ways.
func spoilt(r *rand.Rand, text []byte) []byte {
	text = bytes.Clone(text)
	for range len(text) / 50 {
		text[r.IntN(len(text))] = []byte{0xff, 0xc5, 0xbf, 0xe2, 0x84, 0xaa, 0, '\r', '\n', 0x80}[r.IntN(10)]
	}
	return text
}

func withStamps(text []byte) (out []byte) {
	for line := range bytes.Lines(text) {
		out = append(append(out, "2024-05-22T12:12:46.214615Z 00O "...), line...)
	}
	return out
}

// TestSizes holds 60, 300 and 1,000 patterns against the expressions alone, on
// whole blocks and through streams that are written in pieces, on both paths.
func TestSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for name, text := range sources(t, r) {
		for _, n := range []int{60, 300, 1000} {
			part := text[:min(len(text), 2_000_000/n)]
			part = part[:bytes.LastIndexByte(part, '\n')+1]
			patterns := append(compilable(generated(r, part, n/4)), generatedRare(n-n/4)...)
			clean := undressed(part)
			if name == "stamps" {
				clean = regexp.MustCompile(`(?m)^2024-05-22T12:12:46.214615Z 00O `).ReplaceAll(part, nil)
			}
			want := plain(t, patterns, clean)
			set, err := Compile(patterns)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Set{set, set.Portable()} {
				if diff := cmp.Diff(want, ours(s, clean)); diff != "" {
					t.Fatalf("%s, %d patterns, vector %v: the expressions alone (-) and the set (+) differ:\n%s", name, n, s.Vector(), diff)
				}
				if diff := cmp.Diff(want, streamed(t, s, part, r)); diff != "" {
					t.Fatalf("%s, %d patterns, vector %v: the expressions alone (-) and the stream (+) differ:\n%s", name, n, s.Vector(), diff)
				}
			}
			t.Logf("%s, %d patterns: %d pairs in %d bytes", name, n, len(want), len(part))
		}
	}
}

// TestBothPaths holds the paths against each other on all that is at hand.
func TestBothPaths(t *testing.T) {
	text := corpus(t)
	r := rand.New(rand.NewPCG(23, 24))
	for _, n := range []int{60, 300, 1000} {
		set, err := Compile(append(generated(r, text, 20), generatedRare(n-20)...))
		if err != nil {
			t.Fatal(err)
		}
		one, other := fmt.Sprint(hits(set, text)), fmt.Sprint(hits(set.Portable(), text))
		if one != other {
			t.Errorf("%d patterns: vector %v and portable differ", n, set.Vector())
		}
	}
}

// hits are cheap to make for a large text.
func hits(set *Set, text []byte) (list [][2]int) {
	set.Lines(text, func(h Hit) { list = append(list, [2]int{h.Start, h.Pattern}) })
	return list
}

// expression makes an expression of any shape out of pieces that logs and
// teams write.
func expression(r *rand.Rand, depth int) string {
	atoms := []string{
		"error", "Failed", "timed out", "a", "k", "S", `\d`, `\S+`, `.`, `[a-c]`, `[^x]`, `\b`, "^", "$", `\s`, "é", "ſ", "\u212a", `\x{fffd}`, `\x00`, "503 ", ": ",
		"connection", `\.`, "[Rr]eset", `[[:upper:]]`, `\pL`, "",
	}
	if depth == 0 {
		return atoms[r.IntN(len(atoms))]
	}
	sub := func() string { return expression(r, depth-1) }
	switch r.IntN(9) {
	case 0:
		return "(" + sub() + "|" + sub() + ")"
	case 1:
		return "(?i:" + sub() + ")"
	case 2:
		return "(?:" + sub() + ")" + []string{"*", "+", "?", "{2}", "{0,2}", "{1,3}", "*?"}[r.IntN(7)]
	case 3:
		return "(?P<n>" + sub() + ")"
	case 4:
		return "^" + sub()
	case 5:
		return sub() + ".*" + sub()
	case 6:
		return "(?i)" + sub() + sub()
	}
	return sub() + sub() + sub()
}

// text is lines that hold what expression looks for.
func text(r *rand.Rand, n int) []byte {
	words := []string{"error", "ERROR", "failed", "timed out", "timed", "a", "K", "\u212a", "ſ", "s", "é", "\xff", "\x00", "503 ", ": ", "connection", "reset", "Reset", "\n", "\r\n", "\r", "7", " ", "x"}
	var b strings.Builder
	for range n {
		b.WriteString(words[r.IntN(len(words))])
	}
	return []byte(b.String())
}

func compilable(list []Pattern) []Pattern {
	return slices.DeleteFunc(list, func(p Pattern) bool {
		_, err := regexp.Compile(p.Expr)
		return p.Literal && p.Expr == "" || !p.Literal && err != nil
	})
}

func TestGeneratedExpressions(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 25))
		var patterns []Pattern
		for range 20 {
			patterns = append(patterns, Pattern{Expr: expression(r, r.IntN(4))})
		}
		check(t, compilable(patterns), text(r, 1500))
	}
}

// FuzzSet holds one expression or text, and some that are made up, against the
// expressions alone, for any bytes. What is around the bytes makes the text
// long enough for the SIMD path.
func FuzzSet(f *testing.F) {
	f.Add(`(?i)connection (?:reset|refused)`, []byte("Connection RESET by peer"), uint64(1))
	f.Add(`^=+ .*\b\d+ failed`, []byte("=== 3 failed\n== 3 Failed"), uint64(2))
	f.Add(`^(?:a|b)+c$|d{2,}`, []byte("abac\r\nddd"), uint64(3))
	f.Add(`(?m)^x|\Ay|z\z|(?s).w`, []byte("x\ny\nz\nw"), uint64(4))
	f.Fuzz(func(t *testing.T, expr string, part []byte, seed uint64) {
		if len(expr) > 200 || len(part) > 4000 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 26))
		patterns := compilable([]Pattern{{Expr: expr}, {Expr: expr, Literal: true}, {Expr: expression(r, 3)}, {Expr: expression(r, 2)}, {Expr: "timed out", Literal: true}})
		check(t, patterns, slices.Concat(text(r, 200), part, text(r, 200)))
	})
}
