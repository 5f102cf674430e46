package verdict

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// MaxWindow is the longest window: as many results as fit in one word.
const MaxWindow = 64

// Window is how many failed results make a target down: Failed of the last Of
// results. Failed equal to Of means that many in a row.
type Window struct {
	Failed int
	Of     int
}

// InRow is the window of n failed results in a row.
func InRow(n int) Window { return Window{Failed: n, Of: n} }

// UnmarshalText reads "3" (in a row) and "3 of 5". YAML's number 3 reaches it
// as the text "3".
func (w *Window) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	var parsed Window
	var err error
	switch {
	case len(fields) == 1:
		parsed.Failed, err = count(fields[0])
		parsed.Of = parsed.Failed
	case len(fields) == 3 && fields[1] == "of":
		if parsed.Failed, err = count(fields[0]); err == nil {
			parsed.Of, err = count(fields[2])
		}
	default:
		err = fmt.Errorf(`write a number such as 3 (in a row), or "3 of 5"`)
	}
	if err != nil {
		return fmt.Errorf("%q is not a window: %w", text, err)
	}
	if parsed.Failed > parsed.Of {
		return fmt.Errorf("%q can never be met: %d results hold no %d failures", text, parsed.Of, parsed.Failed)
	}
	*w = parsed
	return nil
}

func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf(`%q is not a whole number; write 3 (in a row), or "3 of 5"`, s)
	}
	if n < 1 || n > MaxWindow {
		return 0, fmt.Errorf("%d is not between 1 and %d", n, MaxWindow)
	}
	return n, nil
}

// MarshalText writes what UnmarshalText reads.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// String is "3" or "3 of 5".
func (w Window) String() string {
	if w.Failed == w.Of {
		return strconv.Itoa(w.Failed)
	}
	return fmt.Sprintf("%d of %d", w.Failed, w.Of)
}

// text says the window as the rule of a verdict.
func (w Window) text() string {
	switch w.Failed {
	case 1:
		return "1 failed result"
	case w.Of:
		return fmt.Sprintf("%d failed in a row", w.Failed)
	default:
		return fmt.Sprintf("%d failed of the last %d", w.Failed, w.Of)
	}
}

// met reports whether the window is met by the history, in which bit 0 is the
// newest result and 1 a failure.
func (w Window) met(history uint64) bool {
	mask := ^uint64(0) >> (MaxWindow - w.Of)
	return bits.OnesCount64(history&mask) >= w.Failed
}
