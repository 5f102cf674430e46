// Package sender knows those who post to us, each in a file of its own: how a
// delivery proves where it is from, what tells two deliveries apart, and which
// signals it means.
package sender

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/signal"
	"github.com/colliehq/collie/webhook/proof"
)

// Settings of one hook, with its secrets read.
type Settings struct {
	Secrets   []secret.Text // of signatures and plain tokens
	Username  string
	Passwords []secret.Text // of basic authentication
	Tokens    []secret.Text // of bearer authentication

	Header          string // that carries the signature
	Prefix          string // before the signature
	Encoding        string // proof.Hex or proof.Base64
	Algorithm       string // proof.SHA256 or proof.SHA512
	TimestampHeader string // that carries the signed time
	Window          time.Duration
	KeyHeader       string // that carries the id of a delivery

	Receiver string // who is told of its alerts, where the sender names nobody
	Mapping  Mapping
}

// proofs are those that any sender may use instead of its own.
func (s Settings) proofs() proof.Any {
	var all proof.Any
	if len(s.Passwords) > 0 {
		all = append(all, proof.Basic{Username: s.Username, Passwords: s.Passwords})
	}
	if len(s.Tokens) > 0 {
		all = append(all, proof.Bearer{Tokens: s.Tokens})
	}
	return all
}

// CarriesProof reports whether a header of this name carries what proves where
// a delivery is from, or what logs somebody in. Such a header is never stored.
func CarriesProof(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"authorization", "cookie", "token", "secret", "password", "signature", "api-key", "apikey"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Key is what tells two deliveries of a hook apart.
type Key struct {
	Text string
	// Repeats says that the sender says the same again on purpose: what comes
	// again after notification.Redelivery is no redelivery.
	Repeats bool
}

// Delivery is one that was stored, on its way to become signals.
type Delivery struct {
	ID       string
	Hook     string
	Received time.Time
	Header   http.Header // the ones that are kept
	Body     []byte
	Settings
}

// Subject of all signals about the delivery.
func (d Delivery) Subject() string { return Subject(d.ID) }

// Subject of all signals about a delivery.
func Subject(id string) string { return "delivery/" + id }

// Meaning is what a delivery says.
type Meaning struct {
	Text string // one line for people: what it was
	// Alerts are told to their receiver as those of an Alertmanager.
	Alerts *notification.Notification
	// Signals lack what all have alike: id, source and time.
	Signals []signal.Signal
}

// Sender is one kind of who posts to us.
type Sender struct {
	Name string
	Keep []string // headers that are stored; never one with a secret
	// MaxBody is the largest body that it sends by its own documentation, where
	// that is above the default.
	MaxBody int64
	// Uses names the keys of a hook that mean something to this sender, beside
	// those that all have.
	Uses  []string
	Prove func(Settings) (proof.Proof, error)
	Key   func(Settings, http.Header, []byte) Key
	Read  func(Delivery) (Meaning, error)
}

// All is the one list of senders.
func All() []Sender {
	return []Sender{
		GitLab(), GitHub(), Sentry(), Alertmanager(), Grafana(), Standard(), Generic(),
	}
}

// Named finds a sender.
func Named(name string) (Sender, bool) {
	for _, s := range All() {
		if s.Name == name {
			return s, true
		}
	}
	return Sender{}, false
}

// Names of all senders.
func Names() (names []string) {
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}

// byHeader is the key of senders that give every delivery an id, or the hash of
// what they sent where it is missing.
func byHeader(h http.Header, name string, parts ...[]byte) Key {
	if id := h.Get(name); id != "" {
		return Key{Text: id}
	}
	return Key{Text: hash(parts...)}
}

// hash is of parts that may be of any length.
func hash(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
