package page

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/colliehq/collie/signal"
)

// badness lists the states, worst first: the order of everything shown.
func badness() []signal.State {
	return []signal.State{
		signal.Down, signal.Unreachable, signal.Suspect, signal.Degraded,
		signal.Unknown, signal.Maintenance, signal.Up,
	}
}

func badnessOf(s signal.State) int { return slices.Index(badness(), known(s)) }

// known makes unknown of a state that this version has not heard of.
func known(s signal.State) signal.State {
	if s.Valid() {
		return s
	}
	return signal.Unknown
}

// tierOf orders tiers, the one that hurts most first.
func tierOf(tier string) int {
	tiers := []string{"essential", "necessary", "optional"}
	if i := slices.Index(tiers, tier); i >= 0 {
		return i
	}
	return len(tiers)
}

// clock says times to the reader: relative to now, and in one named zone.
type clock struct {
	now time.Time
	loc *time.Location
}

// moment is one time in the ways it is shown. The zero moment is "not known".
type moment struct {
	ISO  string // for <time datetime>
	Text string // short: only as much of the date as is needed
	Full string
	For  string // how long ago, "4 min"
}

func (c clock) moment(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	local, now := t.In(c.loc), c.now.In(c.loc)
	layout := "2 Jan 2006 15:04 MST"
	switch {
	case local.Year() == now.Year() && local.YearDay() == now.YearDay():
		layout = "15:04:05 MST"
	case local.Year() == now.Year():
		layout = "2 Jan 15:04 MST"
	}
	return moment{
		ISO: t.UTC().Format(time.RFC3339), Text: local.Format(layout),
		Full: local.Format("Mon 2 Jan 2006 15:04:05 MST"), For: lasted(c.now.Sub(t)),
	}
}

// lasted says a duration in its two largest units, so that it is read at a
// glance. A negative one (the clock was set) is 0 s.
func lasted(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return strconv.FormatInt(s, 10) + " s"
	case s < 3600:
		return units(s, 60, "min", 1, "s", s < 600)
	case s < 86400:
		return units(s, 3600, "h", 60, "min", true)
	default:
		return units(s, 86400, "d", 3600, "h", s < 30*86400)
	}
}

func units(s, large int64, largeName string, small int64, smallName string, both bool) string {
	text := strconv.FormatInt(s/large, 10) + " " + largeName
	if rest := s % large / small; both && rest > 0 {
		text += " " + strconv.FormatInt(rest, 10) + " " + smallName
	}
	return text
}

// percent cuts instead of rounding: 100 % is said only of what never failed.
func percent(ratio float64) string {
	cut := math.Floor(ratio*1e5+1e-6) / 1e3
	return strconv.FormatFloat(cut, 'f', -1, 64) + " %"
}

// count writes a number with its thousands apart.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// capital is a state as a word that begins a line.
func capital(s signal.State) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(string(s[:1])) + string(s[1:])
}

// hidden reports characters that would be obeyed instead of shown: control
// characters, and those that turn the direction of the text around them.
func hidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r == 0x200e || r == 0x200f || r == 0x061c || r == 0xfeff
}

// line makes one line of at most limit characters out of foreign text.
func line(s string, limit int) string {
	return cleanText(strings.Join(strings.Fields(s), " "), limit)
}

// cleanText clips foreign text and makes what is hidden in it visible as U+FFFD.
// Line breaks and tabs stay.
func cleanText(s string, limit int) string {
	if len(s) > 4*limit+16 {
		s = s[:4*limit+16] // before looking at each rune of a megabyte
	}
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if hidden(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n"))
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit]) + "…"
}

// webAddress is the address as a link, if it is one that a browser opens.
// Credentials in it are not shown.
func webAddress(address string) (text, href string) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return line(address, maxAddress), ""
	}
	text = line(u.Redacted(), maxAddress)
	if u.Scheme != "http" && u.Scheme != "https" || len(address) > maxLink {
		return text, ""
	}
	u.User = nil
	return text, u.String()
}

// Limits of what is shown of foreign text, in characters. They bound the size
// of a page whatever the record holds.
const (
	maxName     = 100
	maxAddress  = 160
	maxLink     = 2000
	maxCause    = 300
	maxPast     = 100 // of the cause of what is over
	maxEvidence = 16 << 10
	maxFolded   = 4 << 10 // of evidence that is folded away in a list
	maxNames    = 8       // names in one list
)
