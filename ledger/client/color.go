package client

import (
	"time"

	"github.com/colliehq/collie/internal/terminal"
	"github.com/colliehq/collie/signal"
)

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func colorOf(s signal.State) terminal.Color {
	switch s {
	case signal.Up:
		return terminal.Green
	case signal.Down:
		return terminal.Red
	case signal.Suspect, signal.Degraded, signal.Unreachable:
		return terminal.Yellow
	case signal.Unknown, signal.Maintenance:
	}
	return terminal.Dim
}

func (c *Client) paint(text string, color terminal.Color) string {
	return terminal.Paint(c.Color, text, color)
}
