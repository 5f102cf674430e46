package record

import (
	"slices"
	"strings"

	"github.com/colliehq/collie/signal"
)

// clock is how a sentence of Brief begins: a story that matters now is of today.
const clock = "15:04:05"

// Brief is the story for those who have a few lines: the newest verdict, what
// was decided about telling it, whom it reached, and then the rest, the newest
// first. Each is a sentence that begins with its time, UTC.
func (s Story) Brief() []string {
	var verdict, told, delivered, rest []string
	for _, step := range slices.Backward(s.Steps) {
		text := step.At.UTC().Format(clock) + " " + step.Text
		switch {
		case step.Kind == signal.KindTarget && verdict == nil:
			verdict = []string{text}
		case step.Kind == signal.KindAlert && told == nil:
			told = []string{text}
		case step.What == Delivered && told == nil: // about the alert that comes next
			delivered = append(delivered, text)
		default:
			rest = append(rest, text)
		}
	}
	brief := slices.Concat(verdict, told)
	if len(delivered) > 0 {
		slices.Reverse(delivered)
		brief = append(brief, strings.Join(delivered, "; "))
	}
	return append(brief, rest...)
}
