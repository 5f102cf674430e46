package match

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pair is what matching is about: this pattern matches this line.
type pair struct{ Line, Pattern int }

// plain runs each expression alone on each line.
func plain(t testing.TB, patterns []Pattern, block []byte) (pairs []pair) {
	t.Helper()
	compiled := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		if !p.Literal {
			compiled[i] = regexp.MustCompile(p.Expr)
		}
	}
	for n, line := range lines(block) {
		for i, p := range patterns {
			if p.Literal && bytes.Contains(line, []byte(p.Expr)) || !p.Literal && compiled[i].Match(line) {
				pairs = append(pairs, pair{n, i})
			}
		}
	}
	return pairs
}

func lines(block []byte) (all [][]byte) {
	for line := range bytes.Lines(block) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		all = append(all, bytes.TrimSuffix(line, []byte("\r")))
	}
	return all
}

// ours is what the set says of the block.
func ours(set *Set, block []byte) (pairs []pair) {
	set.Lines(block, func(h Hit) {
		pairs = append(pairs, pair{bytes.Count(block[:h.Start], []byte("\n")), h.Pattern})
	})
	return pairs
}

func check(t testing.TB, patterns []Pattern, block []byte) {
	t.Helper()
	set, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{set.filter.vector.on, false} {
		set.filter.vector.on = on
		if diff := cmp.Diff(plain(t, patterns, block), ours(set, block)); diff != "" {
			t.Fatalf("vector %v: the expressions alone (-) and the set (+) differ:\n%s", on, diff)
		}
	}
}

func expressions(list ...string) (patterns []Pattern) {
	for _, e := range list {
		patterns = append(patterns, Pattern{Expr: e})
	}
	return patterns
}

func TestSameAsEachExpressionAlone(t *testing.T) {
	text := "Connection reset by peer\nconnection RESET by Peer\r\n\n503 Service Unavailable\n" +
		"dial tcp: lookup example.org: no such host\ndisk\ndiſk\ndis\u212a\nDISK full\nx\xffy bad \xfe bytes\n" +
		"oom\nOOM-killed\na b\nab\nfoo1bar\nfoo23bar\nno end: time"
	check(t, append(expressions(
		`(?i)connection reset`, `connection reset`, `^503 `, `5\d\d Service`, `lookup \S+: no such host$`, `(?i)disk`,
		`(?i)k`, `.`, `^$`, `x.y`, `\x{fffd}`, `foo[0-9]+bar`, `(?i:oom)(-killed)?`, `OO|oo`, `a|b`, `time$`, `(a )?b$`,
		`(?i)ſ`, `(?:no|such|host){3}`, `(timeout|reset|refused) by`, `[Rr][Ee][Ss][Ee][Tt]`, `\bdisk\b`, `by (peer|Peer)?`,
		`(?i)straße`, `[^a]b`, `no (end|start): (time|space)`, `(Connection|lookup|disk){0,2}full`,
	), Pattern{Expr: "Service", Literal: true}, Pattern{Expr: "oo", Literal: true}, Pattern{Expr: "a.b", Literal: true}), []byte(text))
}

// generated patterns are made of words of the text, so that many match.
func generated(r *rand.Rand, text []byte, n int) (patterns []Pattern) {
	words := bytes.Fields(text)
	word := func() string { return regexp.QuoteMeta(string(words[r.IntN(len(words))])) }
	for range n {
		switch r.IntN(8) {
		case 0:
			patterns = append(patterns, Pattern{Expr: `(?i)` + word()})
		case 1:
			patterns = append(patterns, Pattern{Expr: word() + `.*` + word()})
		case 2:
			patterns = append(patterns, Pattern{Expr: `(` + word() + `|` + word() + `) +` + word()})
		case 3:
			patterns = append(patterns, Pattern{Expr: `^` + word()})
		case 4:
			patterns = append(patterns, Pattern{Expr: word() + `\s+\d+`})
		case 5:
			patterns = append(patterns, Pattern{Expr: string(words[r.IntN(len(words))]), Literal: true})
		case 6:
			patterns = append(patterns, Pattern{Expr: word() + `(` + word() + `)?$`})
		default:
			patterns = append(patterns, Pattern{Expr: `(?i)` + word() + ` ` + word()})
		}
	}
	return patterns
}

// corpus is real logs where they are at hand, else lines made up.
func corpus(t testing.TB) []byte {
	t.Helper()
	dir := os.Getenv("COLLIE_SHARED_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	names, _ := filepath.Glob(filepath.Join(dir, "loghub", "*.log"))
	var all []byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	if len(all) == 0 {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 20_000 {
			all = fmt.Appendf(all, "2026-11-%02d node%d kernel: [%d.%d] eth%d: link %s, rc=%d\n", i%28+1, r.IntN(40), i, r.IntN(1e6), r.IntN(4), []string{"up", "down", "lost"}[r.IntN(3)], r.IntN(300))
		}
	}
	return all
}

func TestRealLogs(t *testing.T) {
	text := corpus(t)
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 20, 60} {
		at := r.IntN(len(text) - 200_000)
		part := text[at : at+200_000]
		check(t, generated(r, part, n), part)
	}
}

func TestRequired(t *testing.T) {
	for expr, want := range map[string][]string{
		`connection (reset|refused) by`: {"connection reset by", "connection refused by"},
		`(?i)DISK`:                      {"disk", "dis\u212a", "di\u017fk", "di\u017f\u212a"},
		`foo.*longer text`:              {"longer text"},
		`a+b+`:                          nil,
		`\x{fffd}abcd`:                  {"abcd"},
		`(?:timeout|no route to host)`:  {"timeout", "no route to host"},
		`(?:timeout|no)`:                nil,
		`x{3,5}yz`:                      {"xxxyz"},
		`503`:                           {"503"},
	} {
		set, err := Compile(expressions(expr))
		if err != nil {
			t.Fatal(err)
		}
		got := set.Required(0)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", expr, diff)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	text := corpus(b)
	for _, n := range []int{60, 300, 1000} {
		set, err := Compile(generatedRare(n))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				set.Lines(text, func(Hit) {})
			}
		})
	}
}

// generatedRare are patterns that real logs seldom match.
func generatedRare(n int) (patterns []Pattern) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range n {
		patterns = append(patterns, Pattern{Expr: fmt.Sprintf(`(?i)%s %s \d+`, rare(r), rare(r)), Literal: i%2 == 0})
	}
	return patterns
}

func rare(r *rand.Rand) string {
	words := []string{"connection", "timed out", "no route", "unable", "mirror", "certificate", "registry", "manifest", "quota", "eviction", "throttle", "gateway", "unreachable", "reset", "temporary", "failure", "resolve", "denied", "refused", "stale"}
	return words[r.IntN(len(words))] + " " + words[r.IntN(len(words))]
}
