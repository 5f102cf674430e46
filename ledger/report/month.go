package report

import "time"

// Month is a calendar month in a zone, cut to the window that was asked for.
type Month struct {
	Name     string // "2026-03"
	From, To time.Time
}

// Months cuts the window from since to until into the calendar months of the
// zone, oldest first. Months are as long as the zone makes them: the one in
// which daylight saving time begins is an hour short.
func Months(since, until time.Time, zone *time.Location) []Month {
	var months []Month
	for from := since; from.Before(until); {
		year, month, _ := from.In(zone).Date()
		to := firstInstant(year, month+1, zone)
		if to.After(until) {
			to = until
		}
		months = append(months, Month{Name: time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Format("2006-01"), From: from, To: to})
		from = to
	}
	return months
}

// firstInstant is when the month begins in the zone. In some zones a month
// began at one o'clock, since midnight was skipped, or midnight came twice:
// time.Date makes no promise for these.
func firstInstant(year int, month time.Month, zone *time.Location) time.Time {
	wall := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC) // as if the zone were UTC
	guess := time.Date(year, month, 1, 0, 0, 0, 0, zone)
	start, end := guess.ZoneBounds()
	if guess.In(zone).Day() != 1 { // before the skipped midnight: the month begins after the skip
		return end.UTC()
	}
	if start.IsZero() {
		return guess.UTC()
	}
	_, offset := start.Add(-1).In(zone).Zone() // the offset that held before the last change
	if earlier := wall.Add(-time.Duration(offset) * time.Second); earlier.Before(start) && earlier.Before(guess) {
		return earlier.UTC()
	}
	return guess.UTC()
}
