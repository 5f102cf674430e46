package loki

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxLabels is how many labels Loki takes for a stream, unless its limits say
// otherwise (max_label_names_per_series).
const MaxLabels = 15

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// ValidName reports whether Loki takes the name of a label.
func ValidName(name string) bool { return len(name) <= 1024 && labelName.MatchString(name) }

// Labels writes labels as the push protocol wants them, sorted: {a="b", c="d"}.
func Labels(labels map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(strings.ToValidUTF8(labels[name], "\uFFFD")))
	}
	b.WriteByte('}')
	return b.String()
}
