package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// syntax turns an error of the YAML library into a line and a sentence. The
// library often names the line where the surrounding block began; the broken
// line is the one after the longest beginning of the text that can be read.
func syntax(text []byte, err error) (line int, message string) {
	line, message = said(err)
	lines := strings.Split(string(text), "\n")
	if at := broken(text); at > 0 && at <= len(lines) {
		line = at
	}
	if line == 0 {
		return 1, message
	}
	at, sentence := explain(lines, line, message)
	return at, sentence
}

var linePrefix = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// said takes the line and the bare message out of an error of the library.
func said(err error) (line int, message string) {
	message = err.Error()
	if found := linePrefix.FindStringSubmatch(message); found != nil {
		message = strings.TrimPrefix(message, found[0])
		line, _ = strconv.Atoi(found[1])
	}
	return line, message
}

// window is how many lines a list in brackets or a text in quotes may span
// without misleading the search for the broken line.
const window = 50

// broken finds the line after the longest readable beginning, or 0. A beginning
// that ends inside brackets or quotes cannot be read either, so a search by
// halves may stop there: it goes on as long as a little more can be read.
func broken(text []byte) int {
	ends := lineEnds(text)
	good := 0
	for low, high := 0, len(ends); low < high; {
		middle := (low + high) / 2
		if at := readable(text, ends, middle+1, high); at > 0 {
			good, low = at, at
		} else {
			high = middle
		}
	}
	if good == len(ends) {
		return 0
	}
	return good + 1
}

// readable finds the first count of lines, from first to at most a window
// later, that can be read by themselves; 0 if none can.
func readable(text []byte, ends []int, first, last int) int {
	for count := first; count <= min(last, first+window); count++ {
		if err := readAll(text[:ends[count-1]]); err == nil {
			return count
		}
	}
	return 0
}

func lineEnds(text []byte) []int {
	var ends []int
	for i, c := range text {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		ends = append(ends, len(text))
	}
	return ends
}

func readAll(text []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		err := safely(func() error { return dec.Decode(&n) })
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var (
	tabIndent  = regexp.MustCompile(`^ *(?:- *)?\t`)
	gluedKey   = regexp.MustCompile(`^[ -]*[A-Za-z_]+:[^\s/]`)
	twoColons  = regexp.MustCompile(`^[ -]*[^"':\s]+: +[^"'\s].*:(?: |$)`)
	quotedRest = regexp.MustCompile(`: +(?:'[^']*'|"[^"]*")[^\s,}\]#]`)
	startsWith = regexp.MustCompile(`(?:: +|^ *- +|\[ *|, *)([@%` + "`" + `|>&])`)
)

// explain says what a newcomer probably did in the broken line (counted from
// 1), and in which line to change it. Words of the library are the last resort.
func explain(lines []string, line int, message string) (int, string) {
	text := strings.TrimRight(lines[line-1], "\r ")
	bare := strings.TrimLeft(text, " -")
	switch {
	case tabIndent.MatchString(text):
		return line, "is indented with a tab; YAML wants spaces"
	case strings.Contains(message, "alphabetic or numeric character"):
		return line, "a value that begins with * or & must be in quotes"
	case strings.Contains(message, "unknown anchor"):
		return line, message + "; a value that begins with * must be in quotes"
	case strings.Contains(message, "cannot start any token"):
		if found := startsWith.FindStringSubmatch(text); found != nil {
			return line, fmt.Sprintf("a value that begins with %s must be in quotes", found[1])
		}
	case strings.Contains(message, "mapping values are not allowed"):
		return misplacedColon(lines, line)
	case strings.Contains(message, "could not find expected ':'"):
		if gluedKey.MatchString(text) {
			return line, fmt.Sprintf("%s needs a space after the colon", quote(bare))
		}
		return line, fmt.Sprintf(`%s has no colon; write "key: value"`, quote(bare))
	case strings.Contains(message, "did not find expected key"):
		if quotedRest.MatchString(text) {
			return line, "text goes on after the closing quote; put the whole value in quotes of the other kind"
		}
		return line, "its indentation fits none of the lines above"
	case strings.Contains(message, "expected '-' indicator"):
		return line, `belongs to no entry of the list above; align it with the word after "- ", or begin it with "- "`
	case strings.Contains(message, "expected ',' or ']'"):
		return line, `a list that begins with "[" is not closed by "]", or a comma is missing`
	case strings.Contains(message, "expected ',' or '}'"):
		return line, `a map that begins with "{" is not closed by "}", or a comma is missing`
	case strings.Contains(message, "unexpected end of stream"):
		return line, "a quote is opened here and never closed"
	}
	return line, message
}

// misplacedColon explains a colon where a value goes on, or where none began.
func misplacedColon(lines []string, line int) (int, string) {
	text := lines[line-1]
	if twoColons.MatchString(text) {
		return line, `a value with ": " in it must be in quotes`
	}
	for before := line - 1; before > 0; before-- {
		above := strings.TrimRight(lines[before-1], "\r ")
		bare := strings.TrimLeft(above, " -")
		if bare == "" || strings.HasPrefix(bare, "#") {
			continue
		}
		switch {
		case gluedKey.MatchString(above):
			return before, fmt.Sprintf("%s needs a space after the colon", quote(bare))
		case !strings.Contains(above, ":"):
			return before, fmt.Sprintf(`%s has no colon; write "key: value"`, quote(bare))
		}
		return line, fmt.Sprintf("is indented further than line %d, which has a value already; keys that belong together stand in one column", before)
	}
	return line, "a colon is not allowed here; put the value in quotes"
}
