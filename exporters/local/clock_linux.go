package local

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// readClock asks the kernel about its clock, and changes nothing.
func readClock() (clock, error) {
	var t unix.Timex // Modes 0: only read
	if _, err := unix.Adjtimex(&t); err != nil {
		return clock{}, fmt.Errorf("adjtimex: %w", err)
	}
	return clockOf(t), nil
}

func clockOf(t unix.Timex) clock {
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	return clock{
		offset:       time.Duration(t.Offset) * unit,
		maxError:     time.Duration(t.Maxerror) * time.Microsecond,
		synchronized: t.Status&unix.STA_UNSYNC == 0,
	}
}
