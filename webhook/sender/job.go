package sender

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/colliehq/collie/signal"
)

// essence is what is kept of an event that is too large for a signal.
type essence map[string]any

// text is the essence as JSON, or nothing where even that is too large.
func (e essence) text() []byte {
	text, err := json.Marshal(e)
	if err != nil || len(text) > signal.MaxBody {
		return nil
	}
	return text
}

// jobSignal is a signal about a CI job or pipeline that ended. The body is the
// event as it came, or its essence where that is too large.
func jobSignal(subject string, labels, notes map[string]string, raw []byte, short essence) signal.Signal {
	body := raw
	if len(body) > signal.MaxBody {
		body = short.text()
	}
	return signal.Signal{
		Kind: signal.KindJob, Subject: shorten(clean(subject), signal.MaxSubject), Labels: pairs(labels, signal.MaxLabelValue),
		Annotations: pairs(notes, signal.MaxAnnotation), Body: body,
	}
}

// pairs leaves out what is empty and cuts what is too long.
func pairs(in map[string]string, limit int) map[string]string {
	out := make(map[string]string, len(in))
	for name, value := range in {
		if value != "" {
			out[name] = shorten(strings.ToValidUTF8(value, "\uFFFD"), limit)
		}
	}
	return out
}

// hostOf is the host of the first URL that has one.
func hostOf(urls ...string) string {
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			return strings.ToLower(u.Host)
		}
	}
	return "unknown"
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// word is a text of the sender's inside of a sentence of ours.
func word(text string) string { return shorten(clean(text), 200) }

// clean takes out what a subject or a line must not have.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// shorten cuts to at most limit bytes, at a rune.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// looseTime is a time as GitLab and others write it: RFC 3339, or
// "2021-02-23 02:41:37 UTC". What is neither is no time.
type looseTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *looseTime) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil //nolint:nilerr // null, or a form that we do not know: no time is no reason to refuse an event
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700", "2006-01-02T15:04:05.999999"} {
		if at, err := time.Parse(layout, text); err == nil && at.UTC().Year() >= 1 && at.UTC().Year() <= 9999 {
			t.Time = at.UTC()
			return nil
		}
	}
	return nil
}

// span is a start and an end that a signal may have.
func span(from, to looseTime) (started, ended time.Time) {
	if to.Before(from.Time) {
		return from.Time, time.Time{}
	}
	return from.Time, to.Time
}
