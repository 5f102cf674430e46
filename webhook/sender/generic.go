package sender

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/webhook/proof"
)

// Standard is whoever signs by Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks): a shared secret (v1)
// or a public key (v1a).
func Standard() Sender {
	return Sender{
		Name: "standard", Uses: []string{"secret_files", "window", "mapping", "keep_headers"}, Keep: []string{"Webhook-Id", "Webhook-Timestamp"},
		Prove: func(s Settings) (proof.Proof, error) {
			all := s.proofs()
			if len(s.Secrets) == 0 {
				return all, nil
			}
			p, err := proof.NewStandard(s.Secrets, s.Window)
			return append(all, p), err
		},
		Key:  func(_ Settings, h http.Header, body []byte) Key { return byHeader(h, proof.StandardID, body) },
		Read: readMapped,
	}
}

// Generic is everybody else: an HMAC in a header of choice, a password or a
// token.
func Generic() Sender {
	return Sender{
		Name: "generic",
		Uses: []string{"secret_files", "header", "prefix", "encoding", "algorithm", "timestamp_header", "window", "key_header", "keep_headers", "mapping"},
		Prove: func(s Settings) (proof.Proof, error) {
			all := s.proofs()
			if len(s.Secrets) > 0 {
				all = append(all, proof.HMAC{
					Keys: s.Secrets, Header: first(s.Header, "X-Signature"), Prefix: s.Prefix, Encoding: s.Encoding, Algorithm: s.Algorithm,
					TimestampHeader: s.TimestampHeader, Separator: ".", Window: s.Window,
				})
			}
			return all, nil
		},
		Key:  func(s Settings, h http.Header, body []byte) Key { return byHeader(h, s.KeyHeader, body) },
		Read: readMapped,
	}
}

// readMapped makes an alert of a JSON document as the mapping says. Without a
// mapping the record knows that it came, and nothing more.
func readMapped(d Delivery) (Meaning, error) {
	if d.Mapping.Empty() {
		return Meaning{Text: "a delivery without a mapping, which means no signal"}, nil
	}
	var doc any
	if err := json.Unmarshal(d.Body, &doc); err != nil {
		return Meaning{}, fmt.Errorf("the mapping needs a JSON document: %w", err)
	}
	if d.Mapping.ignores(doc) {
		return Meaning{Text: "a delivery whose status is to be ignored"}, nil
	}
	a, err := d.Mapping.alert(doc, d)
	if err != nil {
		return Meaning{}, err
	}
	n := &notification.Notification{
		GroupKey: "hook/" + d.Hook + "/" + a.Fingerprint, Receiver: d.Receiver, GroupLabels: map[string]string{"alertname": a.Labels["alertname"]},
		Alerts: []notification.Alert{a}, KeepStart: true,
	}
	if err := n.Check(); err != nil {
		return Meaning{}, err
	}
	return Meaning{Text: fmt.Sprintf("%s %s", word(a.Labels["alertname"]), a.Status), Alerts: n}, nil
}
