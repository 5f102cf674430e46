package file_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/collectors/file"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		raw     string
		mid     bool
		all     bool
		want    []file.Piece
		covered int
	}{
		"lines":                {raw: "a\n\nbc\n", want: []file.Piece{{Start: 0, End: 1}, {Start: 2, End: 2}, {Start: 3, End: 5}}, covered: 6},
		"torn line waits":      {raw: "a\nbc", want: []file.Piece{{Start: 0, End: 1}}, covered: 2},
		"torn line is let go":  {raw: "a\nbc", all: true, want: []file.Piece{{Start: 0, End: 1}, {Start: 2, End: 4, Cut: true}}, covered: 4},
		"rest of a torn line":  {raw: "bc\n", mid: true, want: []file.Piece{{Start: 0, End: 2, Continued: true}}, covered: 3},
		"as long as may be":    {raw: "0123456789\n", want: []file.Piece{{Start: 0, End: 10}}, covered: 11},
		"too long":             {raw: "0123456789abc\n", want: []file.Piece{{Start: 0, End: 10, Cut: true}, {Start: 10, End: 13, Continued: true}}, covered: 14},
		"too long, no end yet": {raw: "0123456789abc", want: []file.Piece{{Start: 0, End: 10, Cut: true}}, covered: 10},
		"no character is cut":  {raw: "012345678é9\n", want: []file.Piece{{Start: 0, End: 9, Cut: true}, {Start: 9, End: 12, Continued: true}}, covered: 13},
		"a line after a hole":  {raw: strings.Repeat("\x00", 10) + "line\n", want: []file.Piece{{Start: 0, End: 10, Cut: true}, {Start: 10, End: 14}}, covered: 15},
	} {
		got, covered := file.Split([]byte(test.raw), test.mid, 10, test.all, nil)
		if diff := cmp.Diff(test.want, got); diff != "" || covered != test.covered {
			t.Errorf("%s: covered %d, want %d; pieces (-want +got):\n%s", name, covered, test.covered, diff)
		}
	}
}

func FuzzAReplayHasTheSamePieces(f *testing.F) {
	f.Add([]byte("a\nlonger than that line\n\xff\x00\nééééééééééé\ntorn"), false, false)
	f.Add([]byte(strings.Repeat("é", 40)), true, true)
	f.Fuzz(func(t *testing.T, raw []byte, mid, all bool) {
		const limit = 10
		first, covered := file.Split(raw, mid, limit, all, nil)
		again, same := file.Split(raw[:covered], mid, limit, true, nil)
		if same != covered || !slices.Equal(first, again) {
			t.Fatalf("%q gives %v, and again %v", raw, first, again)
		}
		if len(raw)-covered > limit || all && covered < len(raw) {
			t.Fatalf("%d bytes of %q are left", len(raw)-covered, raw)
		}
		var whole []byte
		for _, p := range first {
			if p.End-p.Start > limit {
				t.Fatalf("piece %v is too long", p)
			}
			whole = append(whole, raw[p.Start:p.End]...)
		}
		if want := bytes.ReplaceAll(raw[:covered], []byte("\n"), nil); !bytes.Equal(whole, want) {
			t.Fatalf("pieces hold %q, want %q", whole, want)
		}
	})
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "a\xffb\xc3": "a\uFFFDb\uFFFD", "\x00\x00a\x00b": "ab", "a\uFFFDb": "a\uFFFDb", "": "",
	} {
		got, c := file.Clean(nil, []byte(in))
		if string(got) != want || c.NULs != strings.Count(in, "\x00") || !utf8.Valid(got) {
			t.Errorf("%q is cleaned to %q (%+v), want %q", in, got, c, want)
		}
		if plain := file.Plain([]byte(in)); plain != (c == file.Cleaned{}) {
			t.Errorf("%q is plain: %v, but cleaning changes %+v", in, plain, c)
		}
	}
}
