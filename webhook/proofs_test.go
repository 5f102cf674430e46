package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	first  = "the first secret"
	second = "the second secret"
	other  = "somebody else's secret"
)

// whsec makes a signing token of a secret.
func whsec(s string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(s)) }

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signer makes the headers of a delivery, as its sender does.
type signer func(secret, id, body string, at time.Time) http.Header

func standardHeaders(secret, id, body string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac(secret, id+"."+stamp+"."+body))},
	}
}

// alertBody is a webhook of Alertmanager about one alert that began at a time.
func alertBody(version, id string) string {
	n := 0
	for _, r := range id {
		n = (n*31 + int(r)) % (24 * 3600)
	}
	at := time.Date(2026, 11, 22, 0, 0, n, 0, time.UTC).Format(time.RFC3339)
	return `{"version":"` + version + `","receiver":"ops","groupKey":"g","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"` + at + `"}]}`
}

func jsonBody(id string) string { return `{"id":"` + id + `"}` }

// senders is how each sender proves a delivery.
var senders = map[string]struct {
	hook   func(files []string) Hook
	file   func(secret string) string // what its file holds
	sign   signer
	body   func(id string) string
	signed bool   // it signs a time
	header string // the proof's, to leave away
}{
	"gitlab token": {
		hook: func(f []string) Hook { return Hook{Sender: "gitlab", SecretFiles: f} },
		sign: func(secret, id, _ string, _ time.Time) http.Header {
			return http.Header{"X-Gitlab-Token": {secret}, "Idempotency-Key": {id}}
		}, header: "X-Gitlab-Token",
	},
	"gitlab signing token": {
		hook: func(f []string) Hook { return Hook{Sender: "gitlab", SecretFiles: f} }, file: whsec, signed: true, header: "Webhook-Signature",
		sign: func(secret, id, body string, at time.Time) http.Header {
			h := standardHeaders(secret, id, body, at)
			h.Set("Idempotency-Key", id)
			return h
		},
	},
	"github": {
		hook: func(f []string) Hook { return Hook{Sender: "github", SecretFiles: f} }, header: "X-Hub-Signature-256",
		sign: func(secret, id, body string, _ time.Time) http.Header {
			return http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac(secret, body))}, "X-Github-Delivery": {id}, "X-Github-Event": {"ping"}}
		},
	},
	"sentry": {
		hook: func(f []string) Hook { return Hook{Sender: "sentry", SecretFiles: f} }, header: "Sentry-Hook-Signature",
		sign: func(secret, id, body string, at time.Time) http.Header {
			return http.Header{
				"Sentry-Hook-Signature": {hex.EncodeToString(mac(secret, body))}, "Sentry-Hook-Timestamp": {strconv.FormatInt(at.Unix(), 10)},
				"Request-Id": {id}, "Sentry-Hook-Resource": {"installation"},
			}
		},
	},
	"alertmanager basic": {
		hook: func(f []string) Hook { return Hook{Sender: "alertmanager", Username: "am", PasswordFiles: f} }, header: "Authorization",
		sign: func(secret, _, _ string, _ time.Time) http.Header {
			return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("am:"+secret))}}
		},
		body: func(id string) string { return alertBody("4", id) },
	},
	"alertmanager bearer": {
		hook: func(f []string) Hook { return Hook{Sender: "alertmanager", TokenFiles: f} }, header: "Authorization",
		sign: func(secret, _, _ string, _ time.Time) http.Header {
			return http.Header{"Authorization": {"Bearer " + secret}}
		},
		body: func(id string) string { return alertBody("4", id) },
	},
	"grafana": {
		hook: func(f []string) Hook { return Hook{Sender: "grafana", SecretFiles: f} }, header: "X-Grafana-Alerting-Signature",
		sign: func(secret, _, body string, _ time.Time) http.Header {
			return http.Header{"X-Grafana-Alerting-Signature": {hex.EncodeToString(mac(secret, body))}}
		},
		body: func(id string) string { return alertBody("1", id) },
	},
	"grafana with a time": {
		hook: func(f []string) Hook {
			return Hook{Sender: "grafana", SecretFiles: f, TimestampHeader: "X-Grafana-Alerting-Timestamp"}
		},
		header: "X-Grafana-Alerting-Signature", signed: true,
		sign: func(secret, _, body string, at time.Time) http.Header {
			stamp := strconv.FormatInt(at.Unix(), 10)
			return http.Header{"X-Grafana-Alerting-Signature": {hex.EncodeToString(mac(secret, stamp+":"+body))}, "X-Grafana-Alerting-Timestamp": {stamp}}
		},
		body: func(id string) string { return alertBody("1", id) },
	},
	"standard": {
		hook: func(f []string) Hook { return Hook{Sender: "standard", SecretFiles: f} }, file: whsec, sign: standardHeaders, signed: true, header: "Webhook-Signature",
	},
	"standard, public key": {
		hook: func(f []string) Hook { return Hook{Sender: "standard", SecretFiles: f} }, signed: true, header: "Webhook-Signature",
		file: func(secret string) string {
			return "whpk_" + base64.StdEncoding.EncodeToString(private(secret).Public().(ed25519.PublicKey))
		},
		sign: func(secret, id, body string, at time.Time) http.Header {
			h := standardHeaders(secret, id, body, at)
			signature := ed25519.Sign(private(secret), []byte(id+"."+h.Get("Webhook-Timestamp")+"."+body))
			h.Set("Webhook-Signature", "v1a,"+base64.StdEncoding.EncodeToString(signature))
			return h
		},
	},
	"generic": {
		hook: func(f []string) Hook {
			return Hook{Sender: "generic", SecretFiles: f, Header: "X-My-Proof", Prefix: "v0=", Encoding: "base64", TimestampHeader: "X-My-Time", KeyHeader: "X-My-Id"}
		}, signed: true, header: "X-My-Proof",
		sign: func(secret, id, body string, at time.Time) http.Header {
			stamp := strconv.FormatInt(at.Unix(), 10)
			return http.Header{
				"X-My-Proof": {"v0=" + base64.StdEncoding.EncodeToString(mac(secret, stamp+"."+body))}, "X-My-Time": {stamp}, "X-My-Id": {id},
			}
		},
	},
}

func private(secret string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(secret))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Each sender, each way to be wrong. What is refused stores nothing.
func TestProofs(t *testing.T) {
	for name, s := range senders {
		t.Run(name, func(t *testing.T) {
			if s.file == nil {
				s.file = func(secret string) string { return secret }
			}
			if s.body == nil {
				s.body = jsonBody
			}
			files := []string{secretFile(t, s.file(first))}
			h := s.hook(files)
			h.Name = "in"
			r := start(t, configured(h), false)
			now := time.Now()
			send := func(secret, id string, at time.Time) answer {
				return r.post("in", s.sign(secret, id, s.body(id), at), s.body(id))
			}
			want := func(what string, got answer, code, rows int) {
				t.Helper()
				if got.code != code {
					t.Errorf("%s: %d %s, want %d", what, got.code, got.text, code)
				}
				if n := len(r.spooled()); n != rows {
					t.Fatalf("%s: %d deliveries are stored, want %d", what, n, rows)
				}
			}
			want("wrong", send(other, "1", now), 401, 0)
			missing := s.sign(first, "1", s.body("1"), now)
			missing.Del(s.header)
			want("missing", r.post("in", missing, s.body("1")), 401, 0)
			torn := s.sign(first, "1", s.body("1"), now)
			torn.Set(s.header, torn.Get(s.header)[1:])
			want("torn", r.post("in", torn, s.body("1")), 401, 0)
			if s.header != "Authorization" && s.header != "X-Gitlab-Token" {
				want("other body", r.post("in", s.sign(first, "1", s.body("1"), now), s.body("1")+" "), 401, 0)
			}
			if s.signed {
				want("stale", send(first, "1", now.Add(-6*time.Minute)), 401, 0)
				want("future", send(first, "1", now.Add(6*time.Minute)), 401, 0)
			}
			good := send(first, "1", now)
			want("right", good, 202, 1)
			again := send(first, "1", now)
			want("replayed", again, 202, 1)
			if good.id == "" || good.id != again.id {
				t.Errorf("ids %q and %q", good.id, again.id)
			}
			r.rotate(t, h, append(files, secretFile(t, s.file(second)))...)
			want("old while rotating", send(first, "2", now), 202, 2)
			want("new while rotating", send(second, "3", now), 202, 3)
			r.rotate(t, h, secretFile(t, s.file(second)))
			want("old after rotating", send(first, "4", now), 401, 3)
			want("new after rotating", send(second, "5", now), 202, 4)
			for _, e := range r.spooled() {
				for key, value := range e.Headers {
					if strings.Contains(value, first) || strings.Contains(value, second) || strings.EqualFold(key, s.header) {
						t.Errorf("the header %s: %s is stored", key, value)
					}
				}
			}
			if strings.Contains(r.log.String(), first) || strings.Contains(r.log.String(), other) {
				t.Error("the log tells a secret")
			}
		})
	}
}

// rotate reloads with other secrets.
func (r *rig) rotate(t *testing.T, h Hook, files ...string) {
	t.Helper()
	switch {
	case len(h.PasswordFiles) > 0:
		h.PasswordFiles = files
	case len(h.TokenFiles) > 0:
		h.TokenFiles = files
	default:
		h.SecretFiles = files
	}
	if err := r.Reload(t.Context(), configured(h)); err != nil {
		t.Fatal(err)
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	r := start(t, configured(Hook{Name: "a", Sender: "standard", SecretFiles: []string{secretFile(t, whsec(first))}}), false)
	r.post("a", nil, "{}")
	r.post("a", standardHeaders(other, "1", "{}", time.Now()), "{}")
	r.post("a", standardHeaders(other, "1", "{}", time.Now()), "{}")
	r.post("a", standardHeaders(first, "1", "{}", time.Now().Add(-time.Hour)), "{}")
	for reason, want := range map[string]float64{"missing": 1, "wrong": 2, "stale": 1, "malformed": 0} {
		if got := r.metric("refused_total", "hook", "a", "reason", reason); got != want {
			t.Errorf("%s: %v, want %v", reason, got, want)
		}
	}
	if got := r.metric("deliveries_total", "hook", "a", "result", "refused"); got != 4 {
		t.Errorf("refused %v", got)
	}
}
