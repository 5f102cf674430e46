// Package proof says whether a delivery comes from who shares a secret with us.
// It looks at headers and raw bytes only: nothing is parsed before it agrees.
package proof

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"github.com/colliehq/collie/internal/secret"
)

// Reason is why a proof is refused, from a closed list.
type Reason string

// The reasons.
const (
	Missing   Reason = "missing"   // the header that carries it is not there
	Malformed Reason = "malformed" // it is no token or signature at all
	Stale     Reason = "stale"     // the signed time is too far from now
	Wrong     Reason = "wrong"     // it was made with another secret, or for another body
)

// Reasons lists every reason, the one that tells most last.
func Reasons() []Reason { return []Reason{Missing, Malformed, Stale, Wrong} }

// RefusalError is the error of a proof that does not convince.
type RefusalError struct {
	Reason Reason
	Text   string // for people; tells no secret and nothing that the sender sent
}

func (r *RefusalError) Error() string { return r.Text }

func refuse(reason Reason, text string) error { return &RefusalError{reason, text} }

// ReasonOf is the reason of a refusal.
func ReasonOf(err error) Reason {
	if r := new(RefusalError); errors.As(err, &r) {
		return r.Reason
	}
	return Malformed
}

// Proof judges the headers of a delivery, before its body is read: what is
// refused for its headers alone costs no memory.
type Proof interface {
	Head(h http.Header, now time.Time) (Body, error)
}

// Body judges the raw body of a delivery, which may come in parts. A nil Body
// means that the headers were proof enough.
type Body func(parts ...[]byte) error

// None takes everything.
type None struct{}

// Head implements Proof.
func (None) Head(http.Header, time.Time) (Body, error) { return nil, nil }

// Any takes what one of several proofs takes.
type Any []Proof

// Head implements Proof.
func (a Any) Head(h http.Header, now time.Time) (Body, error) {
	var open []Body
	var worst error
	for _, p := range a {
		body, err := p.Head(h, now)
		switch {
		case err != nil:
			worst = worse(worst, err)
		case body == nil:
			return nil, nil
		default:
			open = append(open, body)
		}
	}
	if len(open) == 0 {
		return nil, worst
	}
	return func(parts ...[]byte) (err error) {
		for _, body := range open {
			again := body(parts...)
			if again == nil {
				return nil
			}
			err = worse(err, again)
		}
		return err
	}, nil
}

// worse is the error that tells more.
func worse(a, b error) error {
	if a == nil || rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(err error) int {
	for i, r := range Reasons() {
		if ReasonOf(err) == r {
			return i
		}
	}
	return -1
}

// matches compares in a time that depends neither on where two texts differ nor
// on how long the secret is, and looks at every secret.
func matches(got string, secrets []secret.Text) bool {
	sum := sha256.Sum256([]byte(got))
	found := 0
	for _, s := range secrets {
		want := sha256.Sum256([]byte(s.Reveal()))
		found |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return found == 1
}

// only is the value of a header that is there once: a sender that sends two
// leaves open which one counts.
func only(h http.Header, name string) (string, error) {
	switch values := h.Values(name); {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return "", refuse(Missing, "the header "+name+" is missing")
	case len(values) > 1:
		return "", refuse(Malformed, "the header "+name+" is there more than once")
	default:
		return values[0], nil
	}
}
