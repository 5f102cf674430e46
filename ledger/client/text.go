package client

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/colliehq/collie/signal"
)

// Human writes a duration in its two largest units, as people say it: 45s,
// 12m 3s, 3d 4h.
func Human(d time.Duration) string {
	if d < 0 {
		return "-" + Human(-d)
	}
	if 0 < d && d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	d = d.Truncate(time.Second)
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

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// clean takes out what could steer a terminal or hide in it: the texts come
// from the servers that are watched.
func clean(s string) string {
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

// short cuts a text to so many characters.
func short(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

// Colours of a terminal, for states.
const (
	plain  = ""
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

func colorOf(s signal.State) string {
	switch s {
	case signal.Up:
		return green
	case signal.Down:
		return red
	case signal.Suspect, signal.Degraded, signal.Unreachable:
		return yellow
	case signal.Unknown, signal.Maintenance:
	}
	return dim
}

func (c *Client) paint(text, color string) string {
	if !c.Color || color == plain {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// cell is a text in a table with its colour.
type cell struct{ text, color string }

// table writes aligned columns; the widest cell makes the width, and colours
// have none.
type table struct{ rows [][]cell }

func (t *table) row(cells ...cell) { t.rows = append(t.rows, cells) }

func head(names ...string) []cell {
	cells := make([]cell, len(names))
	for i, n := range names {
		cells[i] = cell{n, dim}
	}
	return cells
}

func text(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, s := range texts {
		cells[i] = cell{clean(s), plain}
	}
	return cells
}

func (t *table) write(w io.Writer, c *Client) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.text))
		}
	}
	var out strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(c.paint(cell.text, cell.color))
			if i+1 < len(row) {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.text)+2))
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
