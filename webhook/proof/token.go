package proof

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/secret"
)

// Token is a secret that stands in a header as it is, as X-Gitlab-Token does.
type Token struct {
	Header string
	Tokens []secret.Text // any of them
}

// Head implements Proof.
func (p Token) Head(h http.Header, _ time.Time) (Body, error) {
	got, err := only(h, p.Header)
	if err != nil {
		return nil, err
	}
	if !matches(got, p.Tokens) {
		return nil, refuse(Wrong, "the token in "+p.Header+" is not ours")
	}
	return nil, nil
}

// Bearer is a token in the Authorization header (RFC 6750, section 2.1).
type Bearer struct {
	Tokens []secret.Text // any of them
}

// Head implements Proof.
func (p Bearer) Head(h http.Header, _ time.Time) (Body, error) {
	got, err := authorization(h, "Bearer")
	if err != nil {
		return nil, err
	}
	if !matches(got, p.Tokens) {
		return nil, refuse(Wrong, "the bearer token is not ours")
	}
	return nil, nil
}

// Basic is a user with a password in the Authorization header (RFC 7617).
type Basic struct {
	Username  string
	Passwords []secret.Text // any of them
}

// Head implements Proof.
func (p Basic) Head(h http.Header, _ time.Time) (Body, error) {
	got, err := authorization(h, "Basic")
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(got)
	if err != nil {
		return nil, refuse(Malformed, "the basic authentication is not base64")
	}
	user, password, _ := strings.Cut(string(raw), ":")
	known := matches(user, []secret.Text{secret.New(p.Username)})
	if !matches(password, p.Passwords) || !known {
		return nil, refuse(Wrong, "user or password is not ours")
	}
	return nil, nil
}

// authorization is what follows the scheme in the Authorization header.
func authorization(h http.Header, scheme string) (string, error) {
	value, err := only(h, "Authorization")
	if err != nil {
		return "", err
	}
	got, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(got, scheme) {
		return "", refuse(Malformed, "the Authorization header is not of the scheme "+scheme)
	}
	return strings.TrimSpace(rest), nil
}
