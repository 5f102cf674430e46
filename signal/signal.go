// Package signal is the one noun of Collie: something noteworthy was observed
// about a subject at a time.
//
// A Signal is a value. It is made by New, which validates, and changed by
// copying; no function here keeps or alters a map that it was given. Its JSON
// form is a CloudEvents 1.0 structured event, so that anything that speaks
// CloudEvents can read what Collie writes.
package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a signal. They bound what one producer can make every subscriber
// store and carry.
const (
	MaxID          = 256       // bytes
	MaxSubject     = 512       // bytes
	MaxLabels      = 64        // pairs, labels and annotations each
	MaxLabelName   = 128       // bytes
	MaxLabelValue  = 1024      // bytes
	MaxAnnotation  = 16 << 10  // bytes
	MaxBody        = 256 << 10 // bytes
	defaultEnviron = "production"
)

// Kind says what a signal is about.
type Kind string

// The kinds of signal.
const (
	KindTarget Kind = "target" // a target changed its state
	KindLog    Kind = "log"    // a line matched a signature
	KindJob    Kind = "job"    // a CI job ended
	KindAlert  Kind = "alert"  // an alert fires or was resolved
	KindAction Kind = "action" // Collie decided or did something
)

// Kinds lists every kind, in the order in which they are documented.
func Kinds() []Kind { return []Kind{KindTarget, KindLog, KindJob, KindAlert, KindAction} }

// Status is the condition that a signal reports, where it reports one.
type Status string

// The statuses of a signal. None is for signals that only say that something
// happened.
const (
	None     Status = ""
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Signal is something noteworthy that was observed about a subject at a time.
type Signal struct {
	ID      string // stable per delivery: the same ID is a redelivery
	Kind    Kind
	Source  string // room and instance, "exporter/host1"
	Subject string // "target/gitlab", "job/gitlab.example.org/1234"
	Status  Status
	Seq     uint64 // rises per source and subject; 0 where the source has none

	Observed time.Time // when it was seen
	Started  time.Time // when the condition began; zero if unknown
	Ended    time.Time // when the condition ended; zero while it lasts

	Labels      map[string]string // few; matched by rules and routes
	Annotations map[string]string // text and links; never matched
	Body        []byte            // the raw cause, capped at MaxBody

	Environment string // "production" unless said; others can never act
}

// ErrInvalid is wrapped by every error of New and of decoding.
var ErrInvalid = errors.New("invalid signal")

// New returns a validated copy of s. Times are brought to UTC, an empty
// environment becomes "production". Every mistake is reported, not only the
// first, and the error wraps ErrInvalid.
func New(s Signal) (Signal, error) {
	if s.Environment == "" {
		s.Environment = defaultEnviron
	}
	s = s.Clone()
	s.Observed, s.Started, s.Ended = canonical(s.Observed), canonical(s.Started), canonical(s.Ended)
	if err := s.validate(); err != nil {
		return Signal{}, err
	}
	return s, nil
}

// Clone returns a copy that shares no map or slice with s.
func (s Signal) Clone() Signal {
	s.Labels = maps.Clone(s.Labels)
	s.Annotations = maps.Clone(s.Annotations)
	s.Body = slices.Clone(s.Body)
	return s
}

// WithLabel returns a copy of s in which the label name has the value.
func (s Signal) WithLabel(name, value string) Signal {
	s = s.Clone()
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[name] = value
	return s
}

// Production reports whether the signal is real. Replayed and staged signals
// are not, and nothing may act on them.
func (s Signal) Production() bool { return s.Environment == defaultEnviron }

// Fingerprint identifies what the signal is about: kind, subject and labels.
// Signals of one fingerprint tell one story. It is 32 hexadecimal digits.
func (s Signal) Fingerprint() string {
	h := sha256.New()
	write := func(part string) { fmt.Fprintf(h, "%d:%s", len(part), part) }
	write(string(s.Kind))
	write(s.Subject)
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		write(name)
		write(s.Labels[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// canonical drops the location and the monotonic reading, so that equal times
// are equal values.
func canonical(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}

func (s Signal) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...)))
	}
	checkText(bad, "id", s.ID, MaxID)
	checkText(bad, "source", s.Source, MaxSubject)
	checkText(bad, "subject", s.Subject, MaxSubject)
	checkText(bad, "environment", s.Environment, MaxLabelName)
	if !slices.Contains(Kinds(), s.Kind) {
		bad("kind %q is not one of %v", s.Kind, Kinds())
	}
	if prefix := string(s.Kind) + "/"; s.Kind == KindTarget && !strings.HasPrefix(s.Subject, prefix) {
		bad("subject %q of a target signal does not begin with %q", s.Subject, prefix)
	}
	if s.Status != None && s.Status != Firing && s.Status != Resolved {
		bad("status %q is not firing, resolved or empty", s.Status)
	}
	s.validateTimes(bad)
	checkPairs(bad, "label", s.Labels, MaxLabelValue)
	checkPairs(bad, "annotation", s.Annotations, MaxAnnotation)
	if len(s.Body) > MaxBody {
		bad("body has %d bytes, more than %d", len(s.Body), MaxBody)
	}
	return errors.Join(errs...)
}

func (s Signal) validateTimes(bad func(string, ...any)) {
	if s.Observed.IsZero() {
		bad("observed is not set")
	}
	if !s.Ended.IsZero() && s.Ended.Before(s.Started) {
		bad("ended %s is before started %s", s.Ended.Format(time.RFC3339Nano), s.Started.Format(time.RFC3339Nano))
	}
	for _, t := range []time.Time{s.Observed, s.Started, s.Ended} {
		if y := t.Year(); y < 1 || y > 9999 { // what RFC 3339 can write
			bad("time %v is outside of the years 1 to 9999", t)
		}
	}
}

func checkText(bad func(string, ...any), what, v string, limit int) {
	switch {
	case v == "":
		bad("%s is empty", what)
	case len(v) > limit:
		bad("%s has %d bytes, more than %d", what, len(v), limit)
	case !utf8.ValidString(v):
		bad("%s is not valid UTF-8", what)
	case strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }):
		bad("%s %q has control characters", what, v)
	}
}

func checkPairs(bad func(string, ...any), what string, pairs map[string]string, limit int) {
	if len(pairs) > MaxLabels {
		bad("%d %ss, more than %d", len(pairs), what, MaxLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		checkText(bad, what+" name", name, MaxLabelName)
		if v := pairs[name]; len(v) > limit {
			bad("%s %s has %d bytes, more than %d", what, name, len(v), limit)
		} else if !utf8.ValidString(v) {
			bad("%s %s is not valid UTF-8", what, name)
		}
	}
}
