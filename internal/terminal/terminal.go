// Package terminal writes for people: aligned tables with colours, durations
// and sizes as people say them, and nothing that could steer their terminal.
package terminal

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Color of a text, as in ECMA-48; empty is the terminal's own.
type Color string

// The colours.
const (
	Plain  Color = ""
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
	Dim    Color = "2"
)

// Paint colours a text, if colours are on.
func Paint(on bool, text string, c Color) string {
	if !on || c == Plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Clean takes out what could steer a terminal or hide in it: texts come from
// other programs.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return '·'
		}
		return r
	}, s)
}

// Short cuts a text to so many characters.
func Short(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

// Human writes a duration in its two largest units: 45s, 12m 3s, 3d 4h.
func Human(d time.Duration) string {
	if d < 0 {
		return "-" + Human(-d)
	}
	if 0 < d && d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		n := d / u.size
		if n == 0 {
			continue
		}
		text := strconv.FormatInt(int64(n), 10) + u.name
		if i+1 < len(units) {
			if m := d % u.size / units[i+1].size; m > 0 {
				text += " " + strconv.FormatInt(int64(m), 10) + units[i+1].name
			}
		}
		return text
	}
	return "0s"
}

// Bytes writes a size: 17 B, 4.1 KiB, 12 GiB.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < 4 {
		v, unit = v/1024, unit+1
	}
	digits := 1
	if v >= 10 {
		digits = 0
	}
	return fmt.Sprintf("%.*f %ciB", digits, v, " KMGT"[unit])
}

// Plural writes a number of things.
func Plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// Cell is a text in a table with its colour.
type Cell struct {
	Text  string
	Color Color
}

// Table writes aligned columns. Colours have no width.
type Table struct{ rows [][]Cell }

// Head adds a row of names.
func (t *Table) Head(names ...string) {
	row := t.Row(names...)
	for i := range row {
		row[i].Color = Dim
	}
}

// Row adds a row of texts, which are cleaned, and returns it to be coloured.
func (t *Table) Row(texts ...string) []Cell {
	row := make([]Cell, len(texts))
	for i, s := range texts {
		row[i].Text = Clean(s)
	}
	t.rows = append(t.rows, row)
	return row
}

// Write writes the table.
func (t *Table) Write(w io.Writer, colors bool) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	var out strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(Paint(colors, cell.Text, cell.Color))
			if i+1 < len(row) {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.Text)+2))
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}
