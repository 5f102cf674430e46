package proof

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/colliehq/collie/internal/secret"
)

var now = time.Unix(1674087231, 0)

func texts(values ...string) (all []secret.Text) {
	for _, v := range values {
		all = append(all, secret.New(v))
	}
	return all
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// judge is the verdict on a delivery: empty if it is taken.
func judge(p Proof, h http.Header, body string, at time.Time) Reason {
	check, err := p.Head(h, at)
	if err == nil && check != nil {
		err = check([]byte(body))
	}
	if err != nil {
		return ReasonOf(err)
	}
	return ""
}

func head(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// The example of GitHub's documentation, "Validating webhook deliveries".
func TestHMACOfGitHub(t *testing.T) {
	const signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	p := HMAC{Keys: texts("It's a Secret to Everybody"), Header: "X-Hub-Signature-256", Prefix: "sha256="}
	for name, tt := range map[string]struct {
		header http.Header
		body   string
		want   Reason
	}{
		"right":      {head("X-Hub-Signature-256", "sha256="+signature), "Hello, World!", ""},
		"other body": {head("X-Hub-Signature-256", "sha256="+signature), "Hello, World", Wrong},
		"other":      {head("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64)), "Hello, World!", Wrong},
		"short":      {head("X-Hub-Signature-256", "sha256="+signature[:62]), "Hello, World!", Wrong},
		"missing":    {head(), "Hello, World!", Missing},
		"empty":      {head("X-Hub-Signature-256", ""), "Hello, World!", Missing},
		"no prefix":  {head("X-Hub-Signature-256", signature), "Hello, World!", Malformed},
		"not hex":    {head("X-Hub-Signature-256", "sha256=zz"), "Hello, World!", Malformed},
		"huge":       {head("X-Hub-Signature-256", "sha256="+strings.Repeat("ab", 5000)), "Hello, World!", Malformed},
		"two":        {head("X-Hub-Signature-256", "sha256=00", "X-Hub-Signature-256", "sha256="+signature), "Hello, World!", Malformed},
	} {
		if got := judge(p, tt.header, tt.body, now); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Test case 2 of RFC 4231, in both hash functions and encodings.
func TestHMACOfRFC4231(t *testing.T) {
	const body = "what do ya want for nothing?"
	for _, tt := range []struct{ algorithm, encoding, signature string }{
		{SHA256, Hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{SHA256, Base64, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="},
		{SHA512, Hex, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
	} {
		p := HMAC{Keys: texts("Jefe"), Header: "X-Signature", Encoding: tt.encoding, Algorithm: tt.algorithm}
		if got := judge(p, head("X-Signature", tt.signature), body, now); got != "" {
			t.Errorf("%s %s: %s", tt.algorithm, tt.encoding, got)
		}
	}
}

// A signed time: within the window, before and after it. The signature was made
// by: printf '1674087231:{}' | openssl dgst -sha256 -hmac grafana-secret
func TestHMACWithTime(t *testing.T) {
	p := HMAC{Keys: texts("grafana-secret"), Header: "S", TimestampHeader: "T", Separator: ":", Window: 5 * time.Minute}
	const signature = "3214fd1cec835231aa05314b586d4bb73704000baab738383f5d4bcfb0c417bb"
	for name, tt := range map[string]struct {
		stamp string
		at    time.Time
		want  Reason
	}{
		"now":        {"1674087231", now, ""},
		"in window":  {"1674087231", now.Add(5 * time.Minute), ""},
		"stale":      {"1674087231", now.Add(6 * time.Minute), Stale},
		"future":     {"1674087231", now.Add(-6 * time.Minute), Stale},
		"other time": {"1674087232", now, Wrong},
		"no time":    {"", now, Missing},
		"words":      {"yesterday", now, Malformed},
		"huge":       {"999999999999999", now, Malformed},
		"endless":    {"-9223372036854775808", now, Malformed},
	} {
		h := head("S", signature)
		if tt.stamp != "" {
			h.Set("T", tt.stamp)
		}
		if got := judge(p, h, "{}", tt.at); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// What the reference library signs is taken, and what it refuses is refused.
func TestStandardAgreesWithTheLibrary(t *testing.T) {
	const body = `{"test": 2432232314}`
	library, err := standardwebhooks.NewWebhook(whsec)
	if err != nil {
		t.Fatal(err)
	}
	current := time.Now()
	signature, err := library.Sign("msg_1", current, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewStandard(texts(whsec), 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ id, stamp, signature, body string }{
		"right":      {"msg_1", unix(current), signature, body},
		"several":    {"msg_1", unix(current), "v1,AAAA v2,x " + signature, body},
		"other id":   {"msg_2", unix(current), signature, body},
		"other time": {"msg_1", unix(current.Add(time.Second)), signature, body},
		"stale":      {"msg_1", unix(current.Add(-6 * time.Minute)), signature, body},
		"future":     {"msg_1", unix(current.Add(6 * time.Minute)), signature, body},
		"other body": {"msg_1", unix(current), signature, body + " "},
		"cut":        {"msg_1", unix(current), signature[:len(signature)-4], body},
		"no version": {"msg_1", unix(current), strings.TrimPrefix(signature, "v1,"), body},
		"no id":      {"", unix(current), signature, body},
		"nothing":    {"", "", "", body},
	} {
		h := head("webhook-id", tt.id, "webhook-timestamp", tt.stamp, "webhook-signature", tt.signature)
		theirs := library.Verify([]byte(tt.body), h)
		if ours := judge(p, h, tt.body, time.Now()); (ours == "") != (theirs == nil) {
			t.Errorf("%s: we say %q, the library says %v", name, ours, theirs)
		}
	}
}

func TestStandardPublicKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := func(k ed25519.PublicKey) string { return PublicPrefix + base64.StdEncoding.EncodeToString(k) }
	signature := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("msg_1."+unix(now)+".{}")))
	h := head("webhook-id", "msg_1", "webhook-timestamp", unix(now), "webhook-signature", signature)
	for name, tt := range map[string]struct {
		keys []secret.Text
		body string
		want Reason
	}{
		"right":      {texts(key(public)), "{}", ""},
		"rotated":    {texts(key(other), whsec, key(public)), "{}", ""},
		"other body": {texts(key(public)), "{ }", Wrong},
		"other key":  {texts(key(other)), "{}", Wrong},
		"shared":     {texts(whsec), "{}", Wrong},
	} {
		p, err := NewStandard(tt.keys, 5*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(p, h, tt.body, now); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestStandardRefusesKeys(t *testing.T) {
	for _, key := range []string{"plain", "whsec_%%%", "whsec_", "whpk_AAAA"} {
		if _, err := NewStandard(texts(key), time.Minute); err == nil || strings.Contains(err.Error(), "%%%") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestTokens(t *testing.T) {
	token := Token{Header: "X-Gitlab-Token", Tokens: texts("old", "new")}
	basic := Basic{Username: "ann", Passwords: texts("p1", "p:2")}
	bearer := Bearer{Tokens: texts("t1", "t2")}
	both := Any{basic, bearer}
	user := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, tt := range map[string]struct {
		p    Proof
		h    http.Header
		want Reason
	}{
		"old token":      {token, head("X-Gitlab-Token", "old"), ""},
		"new token":      {token, head("X-Gitlab-Token", "new"), ""},
		"wrong token":    {token, head("X-Gitlab-Token", "newer"), Wrong},
		"part of it":     {token, head("X-Gitlab-Token", "ne"), Wrong},
		"no token":       {token, head(), Missing},
		"two tokens":     {token, head("X-Gitlab-Token", "new", "X-Gitlab-Token", "new"), Malformed},
		"password":       {basic, head("Authorization", user("ann:p1")), ""},
		"colon":          {basic, head("Authorization", user("ann:p:2")), ""},
		"wrong password": {basic, head("Authorization", user("ann:p2")), Wrong},
		"wrong user":     {basic, head("Authorization", user("bob:p1")), Wrong},
		"no password":    {basic, head("Authorization", user("ann")), Wrong},
		"no base64":      {basic, head("Authorization", "Basic %"), Malformed},
		"other scheme":   {basic, head("Authorization", "Bearer t1"), Malformed},
		"no header":      {basic, head(), Missing},
		"bearer":         {bearer, head("Authorization", "bearer t2"), ""},
		"wrong bearer":   {bearer, head("Authorization", "Bearer t3"), Wrong},
		"either":         {both, head("Authorization", user("ann:p1")), ""},
		"or":             {both, head("Authorization", "Bearer t1"), ""},
		"neither":        {both, head("Authorization", "Bearer p1"), Wrong},
	} {
		if got := judge(tt.p, tt.h, "", now); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A token beside a signature: either is enough, and the worst reason is told.
func TestAnyOfTokenAndSignature(t *testing.T) {
	p := Any{HMAC{Keys: texts("It's a Secret to Everybody"), Header: "S"}, Token{Header: "T", Tokens: texts("t")}}
	const good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	for name, tt := range map[string]struct {
		h    http.Header
		want Reason
	}{
		"token":                  {head("T", "t"), ""},
		"signature":              {head("S", good), ""},
		"signature, wrong token": {head("S", good, "T", "x"), ""},
		"token, wrong signature": {head("S", good[2:], "T", "t"), ""},
		"wrong signature":        {head("S", strings.Repeat("00", 32)), Wrong},
		"none":                   {head(), Missing},
	} {
		if got := judge(p, tt.h, "Hello, World!", now); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestRefusalTellsNoSecret(t *testing.T) {
	const plain = "hunter2hunter2"
	for _, p := range []Proof{
		Token{Header: "T", Tokens: texts(plain)}, Bearer{Tokens: texts(plain)}, Basic{Username: "u", Passwords: texts(plain)},
		HMAC{Keys: texts(plain), Header: "S"},
	} {
		_, err := p.Head(head("T", "sent", "Authorization", "Bearer sent", "S", "sent"), now)
		if err == nil || strings.Contains(err.Error(), plain) || strings.Contains(err.Error(), "sent") {
			t.Errorf("%v", err)
		}
	}
}

// Headers and bodies are from anybody: nothing that was not made with a key is
// taken, and nothing panics.
func FuzzVerify(f *testing.F) {
	f.Add("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "1674087231", "msg", []byte("Hello, World!"))
	f.Add("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,xx", "1674087231", "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`))
	f.Add("Basic YW5uOnAx", "", "", []byte{})
	standard, err := NewStandard(texts("whsec_"+base64.StdEncoding.EncodeToString([]byte("nobody knows this key"))), 5*time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	const unknown = "nobody knows this secret"
	all := []Proof{
		standard, Token{Header: "H", Tokens: texts(unknown)}, Bearer{Tokens: texts(unknown)}, Basic{Username: "u", Passwords: texts(unknown)},
		HMAC{Keys: texts(unknown), Header: "H", Prefix: "sha256="}, HMAC{Keys: texts(unknown), Header: "H", Encoding: Base64, Algorithm: SHA512},
		HMAC{Keys: texts(unknown), Header: "H", TimestampHeader: "T", Window: time.Hour},
	}
	all = append(all, Any(all))
	f.Fuzz(func(t *testing.T, value, stamp, id string, body []byte) {
		if value == unknown || strings.Contains(value, unknown) {
			t.Skip("the fuzzer read the source")
		}
		h := http.Header{
			"H": {value}, "T": {stamp}, "Authorization": {value}, StandardID: {id}, StandardTimestamp: {stamp}, StandardSignature: {value},
		}
		for _, p := range all {
			if got := judge(p, h, string(body), now); got == "" {
				t.Errorf("%T takes %q", p, value)
			}
		}
	})
}
