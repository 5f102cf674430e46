package strictyaml

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// units as Prometheus has them, longest first; they must come in this order.
var units = []struct {
	name string
	size time.Duration
}{{"y", 365 * day}, {"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

var (
	prometheusWay = regexp.MustCompile(`^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$`)
	onlyDigits    = regexp.MustCompile(`^\d+$`)
)

// ParseDuration reads a duration as Prometheus writes it: 30s, 1m30s, 1d, 2w,
// or 0. What Go writes (1.5s, 250us) is accepted too, since blackbox_exporter
// accepts it in module files. A duration is never negative.
func ParseDuration(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	if onlyDigits.MatchString(text) {
		return 0, fmt.Errorf("%s has no unit; write %ss for seconds or %sm for minutes", text, text, text)
	}
	found := prometheusWay.FindStringSubmatch(text)
	if text == "" || found == nil {
		return goDuration(text)
	}
	var sum time.Duration
	for i, unit := range units {
		if found[i+1] == "" {
			continue
		}
		count, err := strconv.ParseInt(found[i+1], 10, 64)
		if err != nil || count > int64((math.MaxInt64-sum)/unit.size) {
			return 0, fmt.Errorf("%s is too long; at most 292 years can be told", quote(text))
		}
		sum += unit.size * time.Duration(count)
	}
	return sum, nil
}

func goDuration(text string) (time.Duration, error) {
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration; write it like 30s or 1m30s", quote(text))
	case v < 0:
		return 0, fmt.Errorf("%s must not be negative", quote(text))
	}
	return v, nil
}

// FormatDuration writes a duration as ParseDuration reads it: 90s is 1m30s.
// Only whole weeks and days are written as such, so that 36h stays 36h.
func FormatDuration(v time.Duration) string {
	if v == 0 {
		return "0s"
	}
	if v < 0 || v%time.Millisecond != 0 {
		return v.String()
	}
	for _, unit := range units[1:3] {
		if v%unit.size == 0 {
			return strconv.FormatInt(int64(v/unit.size), 10) + unit.name
		}
	}
	var text strings.Builder
	for _, unit := range units[3:] {
		if count := v / unit.size; count > 0 {
			text.WriteString(strconv.FormatInt(int64(count), 10) + unit.name)
			v %= unit.size
		}
	}
	return text.String()
}
