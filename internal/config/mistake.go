package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Mistake is something wrong in a configuration file, as a sentence that says
// what to do.
type Mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // counted from 1; 0 if it has none
	Path    string `json:"path,omitempty"` // as in "targets[2].every"
	Message string `json:"message"`
}

// String is the line that a user reads: file:line: path: message.
func (m Mistake) String() string {
	var text strings.Builder
	text.WriteString(m.File)
	if m.Line > 0 {
		fmt.Fprintf(&text, ":%d", m.Line)
	}
	if m.Path != "" {
		text.WriteString(": " + m.Path)
	}
	text.WriteString(": " + m.Message)
	return text.String()
}

// Mistakes are all that is wrong, in the order of the lines. As an error they
// are one line each.
type Mistakes []Mistake //nolint:errname // it is a list of sentences first

// Error is one line for each mistake.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// Err is the mistakes as an error, nil if there are none.
func (ms Mistakes) Err() error {
	if len(ms) == 0 {
		return nil
	}
	return ms
}

// most is how many mistakes are told: more than anybody corrects in one go.
const most = 200

// sorted puts the mistakes in the order in which files and lines stand, drops
// repetitions and bounds their number.
func (ms Mistakes) sorted(first string) Mistakes {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(
			cmp.Compare(rank(a.File != first), rank(b.File != first)),
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
		)
	})
	ms = slices.Compact(ms)
	if extra := len(ms) - most; extra > 0 {
		ms = append(ms[:most:most], Mistake{File: first, Message: fmt.Sprintf("and %d more", extra)})
	}
	return ms
}

func rank(later bool) int {
	if later {
		return 1
	}
	return 0
}

// notes collects the mistakes in one file.
type notes struct {
	file string
	told Mistakes
}

func (n *notes) bad(line int, path, message string) {
	n.told = append(n.told, Mistake{n.file, line, path, message})
}

var meant = regexp.MustCompile(`did you mean "([^"]+)"\?$`)

// explained is the set of paths at which a mistake in the writing was told. The
// value there was not read, so validation may find it missing, too short or
// unknown: that would be told a second time.
type explained map[string]bool

func (n *notes) explained() explained {
	paths := explained{}
	for _, m := range n.told {
		if !strings.HasPrefix(m.Message, "unknown key ") {
			paths[m.Path] = true
		} else if word := meant.FindStringSubmatch(m.Message); word != nil {
			paths[join(m.Path, word[1])] = true
		}
	}
	return paths
}

// covers reports whether the path, or what it is a part of, was explained.
func (e explained) covers(path string) bool {
	for path != "" {
		if e[path] {
			return true
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
