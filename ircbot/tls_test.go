package ircbot

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/faketarget"
	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/internal/testkit/need"
)

// A server whose certificate ca_file vouches for is spoken to, past a password
// that only TLS protects; any other is refused, in words.
func TestRealTLS(t *testing.T) {
	need.Program(t, "inspircd", "atheme-services")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := ircd.StartInspIRCd(ctx, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.Register(ctx, "collie", "secret-of-collie"); err != nil {
		t.Fatal(err)
	}
	_, other, err := faketarget.Certificate("127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	otherFile := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(otherFile, other, 0o600); err != nil {
		t.Fatal(err)
	}
	on := true
	for name, c := range map[string]struct {
		tls  TLS
		says string // empty: it is let in
	}{
		"its certificate": {TLS{Enabled: &on, CAFile: server.CAFile}, ""},
		"another CA":      {TLS{Enabled: &on, CAFile: otherFile}, "if the server is yours, name the certificate that signed its own as tls.ca_file"},
		"no CA":           {TLS{Enabled: &on}, "certificate signed by unknown authority"},
		"another name":    {TLS{Enabled: &on, CAFile: server.CAFile, ServerName: "irc.example.org"}, "if the server is known by another name, give it as tls.server_name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealRig(t, oneNetwork(func(n *Network) {
				n.Servers, n.TLS = []string{server.TLSAddress}, c.tls
				n.Nick = "collie" + strings.ReplaceAll(name, " ", "")[:3]
				n.SASL = SASL{Account: "collie", PasswordFile: secretFile(t, "secret-of-collie"), Required: true}
			}))
			if c.says == "" {
				if err := await(ctx, func() bool { return r.metric("channels_joined") == 1 }); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := await(ctx, func() bool { s := r.State(); return len(s) == 1 && s[0].Error != "" }); err != nil {
				t.Fatal(err)
			}
			if got := r.State()[0].Error; !strings.Contains(got, c.says) || !strings.Contains(got, server.TLSAddress) {
				t.Errorf("the error is %q", got)
			}
			if r.State()[0].Connected {
				t.Error("connected all the same")
			}
		})
	}
}
