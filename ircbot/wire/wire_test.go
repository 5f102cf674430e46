package wire

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"", "\r\n", ":", ": PING", "@a=b", "@a=b ", ":only", "   ", "@ :x"} {
		if m, err := Parse(line); err == nil {
			t.Errorf("%q is taken for %+v", line, m)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":                     "plain text",
		"a\r\nQUIT :bye":                 "a QUIT :bye",
		"tab\tand\x00nul":                "tab andnul",
		"\x01ACTION waves\x01":           "ACTION waves",
		"\x0304,12red\x03 and \x02b\x0f": "red and b",
		"\x03123":                        "3",
		"\x03,5 kept comma":              ",5 kept comma",
		"\x04ff00ff,00ff00x\x04zz":       "xzz",
		"  many   spaces  ":              "many spaces",
		"bell\a esc\x1b[31m":             "bell esc[31m",
		"c1 \u0085next\u009b":            "c1 next",
		"\u202eevil\u202c":               "evil",
		"zero\u200bwidth\ufeff":          "zerowidth",
		"bad \xff utf8":                  "bad \uFFFD utf8",
		"zażółć 日本":                      "zażółć 日本",
		"\u2028line\u2029":               "line",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("word ", 30))
	for name, c := range map[string]struct {
		text, more   string
		limit, parts int
		want         []string
	}{
		"short":     {"hello", "", 50, 3, []string{"hello"}},
		"exact":     {strings.Repeat("x", 50), "", 50, 3, []string{strings.Repeat("x", 50)}},
		"at spaces": {words[:64], "", 50, 3, []string{"word word word word word word word word word (1/2)", "word word word word (2/2)"}},
		"in a word": {strings.Repeat("x", 60), "", 50, 3, []string{strings.Repeat("x", 44) + " (1/2)", strings.Repeat("x", 16) + " (2/2)"}},
		"too long":  {words, "http://c.test/", 50, 2, []string{"word word word word word word word word word (1/2)", "word word word word word... http://c.test/ (2/2)"}},
		"one part":  {words, "", 50, 1, []string{"word word word word word word word word..."}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Split(c.text, c.limit, c.parts, c.more)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Between characters: no piece breaks one.
func TestSplitKeepsCharacters(t *testing.T) {
	for _, p := range Split(strings.Repeat("日", 200), 100, 9, "") {
		if !utf8.ValidString(p) || len(p) > 100 {
			t.Errorf("%q", p)
		}
	}
}

func TestBudget(t *testing.T) {
	known := Mask{"collie", "~collie", "host.example.org"}
	line := ":" + known.String() + " PRIVMSG #ops :"
	if got, want := Budget(known, "PRIVMSG", "#ops"), 510-len(line); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	if got := Budget(Mask{Nick: "collie"}, "PRIVMSG", "#ops"); got >= 510-len(line)-40 {
		t.Errorf("%d bytes without knowing our host is too much", got)
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct{ mapping, a, want string }{
		{"rfc1459", "#Ops[]~", "#ops{}^"}, {"ascii", "#Ops[]~", "#ops[]~"}, {"strict-rfc1459", `N\~`, "n|~"}, {"", "Nick[", "nick{"},
	} {
		if got := Fold(c.mapping, c.a); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.mapping, c.a, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"@a=b :nick!u@h PRIVMSG #c :hi there\r\n", ":x", "PING :a", "@;=\\ : :", "a  b   :c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		m, err := Parse(line)
		if err != nil {
			return
		}
		for i, p := range m.Params {
			if i < len(m.Params)-1 && (p == "" || strings.Contains(p, " ")) {
				t.Errorf("%q: parameter %d is %q", line, i, p)
			}
		}
		if strings.ContainsAny(line, "\r\n\x00") {
			return
		}
		again, err := Parse(m.String())
		if err != nil {
			t.Fatalf("%q written as %q cannot be read: %v", line, m.String(), err)
		}
		if len(m.Tags) == 0 {
			m.Tags = nil
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("a summary of an alert", "collie", "user", "host.example.org", "#ops", uint8(3))
	f.Add(strings.Repeat("日本語 ", 300), "c", "", "", "#o", uint8(1))
	f.Add("\x01ACTION\r\n\x00\x03", "n", "u", "h", "#", uint8(2))
	f.Fuzz(func(t *testing.T, text, nick, user, host, target string, parts uint8) {
		nick, user, host, target = short(nick, 30), short(user, 11), short(host, 63), "#"+short(target, 60)
		text = Clean(text)
		if strings.ContainsAny(text, "\r\n\x00\x01\x02\x03\x0f") || !utf8.ValidString(text) || strings.Contains(text, "  ") {
			t.Fatalf("Clean left %q", text)
		}
		n := int(parts%5) + 1
		limit := Budget(Mask{nick, user, host}, "PRIVMSG", target)
		pieces := Split(text, limit, n, "https://c.test/")
		if len(pieces) > n {
			t.Fatalf("%d pieces, more than %d", len(pieces), n)
		}
		for _, p := range pieces {
			line := ":" + Mask{nick, user, host}.String() + " PRIVMSG " + target + " :" + p
			if !utf8.ValidString(p) || len(line) > 510 {
				t.Fatalf("%d bytes: %q", len(line), line)
			}
		}
		whole := Split(text, limit, 1000, "")
		if got, want := rejoin(whole), strings.ReplaceAll(text, " ", ""); got != want {
			t.Fatalf("words do not rejoin:\n%q\n%q", got, want)
		}
	})
}

func short(s string, limit int) string {
	s = Word(s)
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// rejoin takes the marks (1/3) away, and all spaces, since a word that was cut
// has none.
func rejoin(pieces []string) string {
	var b strings.Builder
	for i, p := range pieces {
		if len(pieces) > 1 {
			p = strings.TrimSuffix(p, mark(i+1, len(pieces)))
		}
		b.WriteString(strings.ReplaceAll(p, " ", ""))
	}
	return b.String()
}
