package client

import (
	"fmt"
	"regexp"
)

// Fewer digits than a Unix time of this century has: a number of days, without
// the letter.
var bare = regexp.MustCompile(`^[0-9]{1,8}$`)

// withUnit refuses --since 30, which the API takes for half a minute past
// midnight on the first day of 1970.
func withUnit(flag, value string) error {
	if bare.MatchString(value) {
		return fmt.Errorf("--%s %s has no unit; write %sd for days or %sh for hours", flag, value, value, value)
	}
	return nil
}
