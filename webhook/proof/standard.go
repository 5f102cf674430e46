package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/secret"
)

// The headers and prefixes of Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks, spec 1.0.0).
const (
	StandardID        = "Webhook-Id"
	StandardTimestamp = "Webhook-Timestamp"
	StandardSignature = "Webhook-Signature"
	SecretPrefix      = "whsec_" // of a shared secret: v1
	PublicPrefix      = "whpk_"  // of a public key: v1a
)

// maxSignatures bounds what one header can make us compare.
const maxSignatures = 16

// Standard is the proof of Standard Webhooks: signatures of id, time and body,
// several while a key is changed.
type Standard struct {
	shared [][]byte
	public []ed25519.PublicKey
	window time.Duration
}

// NewStandard reads the keys, which begin with SecretPrefix or PublicPrefix. The
// error names no key.
func NewStandard(keys []secret.Text, window time.Duration) (*Standard, error) {
	p := &Standard{window: window}
	for i, k := range keys {
		if err := p.add(k.Reveal()); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	return p, nil
}

func (p *Standard) add(key string) error {
	if text, ok := strings.CutPrefix(key, PublicPrefix); ok {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return fmt.Errorf("what follows %s is no ed25519 public key in base64", PublicPrefix)
		}
		p.public = append(p.public, raw)
		return nil
	}
	text, ok := strings.CutPrefix(key, SecretPrefix)
	if !ok {
		return fmt.Errorf("it begins neither with %s nor with %s", SecretPrefix, PublicPrefix)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return errors.New("what follows " + SecretPrefix + " is not base64")
	}
	p.shared = append(p.shared, raw)
	return nil
}

// Head implements Proof.
func (p *Standard) Head(h http.Header, now time.Time) (Body, error) {
	id, err := only(h, StandardID)
	if err != nil {
		return nil, err
	}
	signatures, err := only(h, StandardSignature)
	if err != nil {
		return nil, err
	}
	stamp, err := fresh(h, StandardTimestamp, now, p.window)
	if err != nil {
		return nil, err
	}
	shared, public := parse(signatures)
	if len(shared)+len(public) == 0 {
		return nil, refuse(Malformed, "no signature in "+StandardSignature+" is of version v1 or v1a")
	}
	before := id + "." + stamp + "."
	return func(parts ...[]byte) error {
		if p.sharedMatch(before, parts, shared) || p.publicMatch(before, parts, public) {
			return nil
		}
		return refuse(Wrong, "no signature in "+StandardSignature+" was made with a key of ours for this body")
	}, nil
}

// parse reads "v1,BASE64 v1a,BASE64"; versions that nobody knows are left out.
func parse(list string) (shared, public [][]byte) {
	for i, one := range strings.Fields(list) {
		if i == maxSignatures {
			break
		}
		version, text, _ := strings.Cut(one, ",")
		raw, err := base64.StdEncoding.DecodeString(text)
		switch {
		case err != nil:
		case version == "v1" && len(raw) == sha256.Size:
			shared = append(shared, raw)
		case version == "v1a" && len(raw) == ed25519.SignatureSize:
			public = append(public, raw)
		}
	}
	return shared, public
}

func (p *Standard) sharedMatch(before string, parts [][]byte, got [][]byte) (found bool) {
	for _, key := range p.shared {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(before))
		for _, part := range parts {
			mac.Write(part)
		}
		want := mac.Sum(nil)
		for _, g := range got {
			found = hmac.Equal(want, g) || found
		}
	}
	return found
}

func (p *Standard) publicMatch(before string, parts [][]byte, got [][]byte) bool {
	if len(got) == 0 || len(p.public) == 0 {
		return false
	}
	signed := append([]byte(before), bytes.Join(parts, nil)...)
	for _, key := range p.public {
		for _, g := range got {
			if ed25519.Verify(key, signed, g) {
				return true
			}
		}
	}
	return false
}
