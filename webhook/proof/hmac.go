package proof

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/secret"
)

// The ways to write a signature.
const (
	Hex    = "hex"
	Base64 = "base64"
)

// The hash functions of a signature.
const (
	SHA256 = "sha256"
	SHA512 = "sha512"
)

// HMAC is a signature of the body in a header (RFC 2104).
type HMAC struct {
	Keys      []secret.Text // any of them
	Header    string        // that carries the signature
	Prefix    string        // before the signature, "sha256="
	Encoding  string        // Hex or Base64; empty means Hex
	Algorithm string        // SHA256 or SHA512; empty means SHA256

	// TimestampHeader carries the signed time in Unix seconds, where the sender
	// signs one: time, Separator and body. Empty means that only the body is.
	TimestampHeader, Separator string
	Window                     time.Duration // how far the signed time may be from now
}

// Head implements Proof.
func (p HMAC) Head(h http.Header, now time.Time) (Body, error) {
	text, err := only(h, p.Header)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(text, p.Prefix)
	if !ok {
		return nil, refuse(Malformed, "the signature in "+p.Header+" does not begin with "+p.Prefix)
	}
	got, err := p.decode(text)
	if err != nil {
		return nil, refuse(Malformed, "the signature in "+p.Header+" is not "+p.encoding())
	}
	var before string
	if p.TimestampHeader != "" {
		stamp, err := fresh(h, p.TimestampHeader, now, p.Window)
		if err != nil {
			return nil, err
		}
		before = stamp + p.Separator
	}
	return func(parts ...[]byte) error {
		found := false
		for _, key := range p.Keys {
			mac := hmac.New(p.hash(), []byte(key.Reveal()))
			mac.Write([]byte(before))
			for _, part := range parts {
				mac.Write(part)
			}
			found = hmac.Equal(mac.Sum(nil), got) || found
		}
		if !found {
			return refuse(Wrong, "the signature in "+p.Header+" was made with another secret, or for another body")
		}
		return nil
	}, nil
}

func (p HMAC) encoding() string {
	if p.Encoding == "" {
		return Hex
	}
	return p.Encoding
}

func (p HMAC) hash() func() hash.Hash {
	if p.Algorithm == SHA512 {
		return sha512.New
	}
	return sha256.New
}

func (p HMAC) decode(text string) ([]byte, error) {
	if len(text) > 2*sha512.Size {
		return nil, errors.New("too long")
	}
	if p.encoding() == Base64 {
		return base64.StdEncoding.DecodeString(text)
	}
	return hex.DecodeString(text)
}

// fresh is the signed time as it was written, if it is near enough.
func fresh(h http.Header, name string, now time.Time, window time.Duration) (string, error) {
	stamp, err := only(h, name)
	if err != nil {
		return "", err
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(stamp) > 12 {
		return "", refuse(Malformed, "the time in "+name+" is not in Unix seconds")
	}
	if off := now.Sub(time.Unix(seconds, 0)).Abs(); off > window {
		return "", refuse(Stale, "the time in "+name+" is more than "+window.String()+" from now; is a clock wrong?")
	}
	return stamp, nil
}
