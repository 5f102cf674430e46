package match

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chunked writes the text to a stream in pieces of random sizes.
func chunked(t testing.TB, set *Set, text []byte, r *rand.Rand, emit func(Found)) {
	t.Helper()
	st := set.Stream(emit)
	for len(text) > 0 {
		n := min(len(text), 1+r.IntN([]int{3, 100, 10_000, 600_000}[r.IntN(4)]))
		if _, err := st.Write(text[:n]); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func streamed(t testing.TB, set *Set, text []byte, r *rand.Rand) (pairs []pair) {
	chunked(t, set, text, r, func(f Found) { pairs = append(pairs, pair{f.Line - 1, f.Pattern}) })
	return pairs
}

// dressed is the text as a CI job writes it: colours, progress bars, markers.
func dressed(r *rand.Rand, text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		switch r.IntN(12) {
		case 0:
			out = fmt.Appendf(out, "section_start:%d:step_%d[collapsed=true]\r\x1b[0K", r.IntN(1e9), r.IntN(9))
		case 1:
			out = fmt.Appendf(out, "\x1b[3%d;1m", r.IntN(8))
		case 2:
			out = fmt.Appendf(out, "\x1b]0;title %d\a\x1b[K", r.IntN(9))
		case 3:
			for i := range 5 {
				out = fmt.Appendf(out, "%3d %%\r", 20*i)
			}
		}
		at := r.IntN(len(line) + 1)
		out = append(out, line[:at]...)
		if r.IntN(3) == 0 && at < len(line) {
			out = append(out, "\x1b[0m"...)
		}
		out = append(out, line[at:]...)
	}
	return out
}

// Each of the simplest forms that a terminal would not show.
var (
	markers   = regexp.MustCompile(`section_(start|end):[^:\n]*:[^\n]{0,200}?\r\x1b\[0K`)
	sequences = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\a\n]*\a`)
)

func undressed(text []byte) []byte {
	return sequences.ReplaceAll(markers.ReplaceAll(text, nil), nil)
}

func TestStreamSameAsEachExpressionAlone(t *testing.T) {
	text := corpus(t)
	r := rand.New(rand.NewPCG(7, 8))
	for range 4 {
		at := r.IntN(len(text) - 800_000)
		part := dressed(r, text[at:at+700_000])
		patterns := generated(r, text[at:at+700_000], 20)
		set, err := Compile(patterns)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain(t, patterns, undressed(part)), streamed(t, set, part, r)); diff != "" {
			t.Fatalf("the expressions alone (-) and the stream (+) differ:\n%s", diff)
		}
	}
}

func TestLongLine(t *testing.T) {
	text := corpus(t)
	r := rand.New(rand.NewPCG(9, 10))
	long := bytes.ReplaceAll(bytes.Repeat(text, 3), []byte("\n"), []byte(" "))[:10_000_000]
	copy(long[6_000_000:], "disk quota exceeded")
	whole := append(append([]byte("first line\n"), long...), "\nlast line is short"...)
	patterns := expressions(`disk quota exceeded`, `^first`, `quota exceed`, `\bquota\b`, `^disk`, `exceeded$`, `last .*short$`, `(?i)nowhere to be found`, `kernel: .{1,80}`)
	set, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[pair]bool{}, map[pair]bool{}
	for _, p := range plain(t, patterns, whole) {
		want[p] = true
	}
	for _, p := range streamed(t, set, whole, r) {
		if got[p] {
			t.Errorf("%v was told twice", p)
		}
		got[p] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhereALineStands(t *testing.T) {
	log := "section_start:1700000000:prepare\r\x1b[0Kpreparing\n" +
		"\x1b[32mall well\x1b[0m\n" +
		"section_end:1700000001:prepare\r\x1b[0Ksection_start:1700000001:script[collapsed=true]\r\x1b[0Krunning\r\n" +
		"\x1b[31;1mERROR: no space left on device\x1b[0;m\n" +
		"section_end:1700000002:script\r\x1b[0Kno space left on device\n"
	set, err := Compile(expressions(`^preparing$`, `^running$`, `no space left on device$`))
	if err != nil {
		t.Fatal(err)
	}
	type found struct {
		Pattern, Line int
		Offset        int64
		Text, Section string
	}
	var got []found
	chunked(t, set, []byte(log), rand.New(rand.NewPCG(1, 1)), func(f Found) {
		got = append(got, found{f.Pattern, f.Line, f.Offset, string(f.Text), f.Section})
	})
	lineAt := func(n int) int64 {
		return int64(len(strings.Join(strings.SplitAfter(log, "\n")[:n-1], "")))
	}
	want := []found{
		{0, 1, 0, "preparing", "prepare"},
		{1, 3, lineAt(3), "running", "script"},
		{2, 4, lineAt(4), "ERROR: no space left on device", "script"},
		{2, 5, lineAt(5), "no space left on device", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A runner with FF_TIMESTAMPS writes times before lines; "^" is behind them.
func TestStamps(t *testing.T) {
	log := "2024-05-22T12:12:46.214615Z 00O \x1b[0KRunning with gitlab-runner 17.1.0\x1b[0;m\n" +
		"2024-05-22T12:12:46.214620Z 00O section_start:1716379966:step_script\r\x1b[0K+\x1b[0KExecuting\n" +
		"2024-05-22T12:12:47.000000Z 01E FAILED tests/a.py::b\r\n" +
		"2024-05-22T12:12:47.000000Z 01E+FAILED tests/a.py::c\n" +
		"no stamp\n" +
		"2024-05-22T12:12:48.000000Z 00O section_end:1716379968:step_script\r\x1b[0K\n"
	set, err := Compile(expressions(`^Running with`, `^FAILED \S+::`, `^no stamp$`, `2024`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 10 {
		got = nil
		chunked(t, set, []byte(log), rand.New(rand.NewPCG(1, 1)), func(f Found) {
			got = append(got, fmt.Sprintf("%d:%d:%s:%s", f.Line, f.Pattern, f.Section, f.Text))
		})
		want := []string{"1:0::Running with gitlab-runner 17.1.0", "3:1:step_script:FAILED tests/a.py::b", "4:1:step_script:FAILED tests/a.py::c", "5:2:step_script:no stamp"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
	long := log[:stamp] + strings.Repeat("x", 3*MaxLine) + " end\n" + log[:stamp] + "FAILED a::b\n"
	var lines []int
	chunked(t, set, []byte(long), rand.New(rand.NewPCG(1, 2)), func(f Found) { lines = append(lines, f.Line) })
	if diff := cmp.Diff([]int{2}, lines); diff != "" {
		t.Error(diff)
	}
}

// FuzzStream holds the answers of a stream against those of one block, for any
// bytes in any pieces.
func FuzzStream(f *testing.F) {
	f.Add([]byte("a\x1b[0mb\nsection_start:1:x\r\x1b[0Kconnection reset\r\n\x1b]0;t\x1b\\x\x1b"), uint64(1))
	f.Add([]byte("\xff\xfe\x1b[\n\x1b]\n\x1b\n\r\n\n"), uint64(2))
	f.Add(bytes.Repeat([]byte("no end "), 100), uint64(3))
	f.Add([]byte("2024-05-22T12:12:46.214615Z 00O x\n2024-05-22T12:12:46.214615Z 00E+b\n2024-05-22T12:12:46"), uint64(4))
	set, err := Compile(append(expressions(`(?i)connection reset`, `^x`, `b$`, `\bend\b`, `.`, `[^ ]\x{fffd}`), Pattern{Expr: "set", Literal: true}))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		var c cleaner
		clean, used := c.clean(text, true)
		if used != len(text) || bytes.Count(clean, []byte("\n")) != bytes.Count(text, []byte("\n")) {
			t.Fatalf("%d of %d bytes used, %q became %q", used, len(text), text, clean)
		}
		want := ours(set, bytes.Clone(clean))
		if diff := cmp.Diff(want, streamed(t, set, text, rand.New(rand.NewPCG(seed, 1)))); diff != "" {
			t.Fatalf("one block (-) and a stream (+) differ:\n%s", diff)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	text := corpus(b)
	set, err := Compile(generatedRare(300))
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(11, 12))
	for name, text := range map[string][]byte{"plain": text, "dressed": dressed(r, text)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				st := set.Stream(func(Found) {})
				_, _ = st.Write(text)
				_ = st.Close()
			}
		})
	}
}

// What a stream holds does not grow with what is written to it.
func TestStreamIsBounded(t *testing.T) {
	set, err := Compile(generatedRare(1000))
	if err != nil {
		t.Fatal(err)
	}
	st := set.Stream(func(Found) {})
	piece := bytes.Repeat([]byte("a \x1b[31mlong\x1b[0m line without an end, "), 1000)
	for range 300 { // 10 MB
		if _, err := st.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	held := cap(st.raw) + cap(st.cleaner.text) + cap(st.cleaner.plain) + 24*cap(st.cleaner.markers) + 8*(cap(st.walk.tried)+cap(st.walk.runs)+cap(st.walk.found))
	if held >= 1<<20 {
		t.Errorf("the stream holds %d bytes", held)
	}
	if set.Size() >= 16<<20 {
		t.Errorf("the tables take %d bytes", set.Size())
	}
	t.Logf("a stream holds %d bytes, the tables of 1,000 patterns %d", held, set.Size())
}
