// Package secret keeps passwords and tokens out of everything that people or
// machines read: a Text shows itself as <secret> however it is printed, and is
// read only from files that others cannot read.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Mark stands where a secret was.
const Mark = "<secret>"

// Text is a secret. Only Reveal tells it; fmt, JSON, YAML and slog show Mark, or
// nothing if there is no secret.
//
// The value is behind a pointer because fmt looks into unexported fields
// without asking their methods, but does not follow pointers it finds there.
type Text struct{ value *string }

// New makes a secret of the value.
func New(value string) Text { return Text{&value} }

// Reveal is the secret itself, for the one who has to show it to a server.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Empty reports whether there is no secret.
func (t Text) Empty() bool { return t.Reveal() == "" }

// Equal reports whether two secrets are the same.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String is Mark, or empty if there is no secret.
func (t Text) String() string {
	if t.Empty() {
		return ""
	}
	return Mark
}

// Format writes Mark for every verb, so that %#v and %x tell no more than %s.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText is Mark: JSON, XML and map keys use it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalYAML is Mark.
func (t Text) MarshalYAML() (any, error) { return t.String(), nil }

// LogValue is Mark.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// UnmarshalText takes the secret from a configuration file, where it came from
// the environment.
func (t *Text) UnmarshalText(text []byte) error {
	*t = New(string(text))
	return nil
}
